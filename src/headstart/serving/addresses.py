"""Where a server is reached: its socket, and that as a text."""

import socket

from headstart.errors import UserError
from headstart.serving.settings import Settings


def listening(settings: Settings) -> socket.socket:
    """A socket with the address, on which nobody listens yet. Raises UserError where it is taken."""
    family, address = settings.addresses()[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        port = settings.port
        if isinstance(error, PermissionError):
            raise UserError(f"--port {port}: {error.strerror}; ports from 1024 on need no rights") from None
        raise UserError(f"port {port} of {settings.host} is in use; give another: --port {port % 65535 + 1}") from None
    return listener


def address_of(listener: socket.socket) -> str:
    """The address in a form that can be opened."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
