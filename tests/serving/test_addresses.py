"""A server's socket: what is taken is said, and what is not is its address."""

import socket

import pytest

from headstart.errors import UserError
from headstart.serving.addresses import address_of, listening
from headstart.serving.settings import Settings


def test_a_port_that_is_taken_is_said_with_another():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} of 127.0.0.1 is in use; give another: --port {port + 1}"):
            listening(Settings(port=port))


def test_port_0_is_one_that_is_free():
    with listening(Settings(port=0)) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_an_address_of_ipv6_can_be_opened():
    with listening(Settings(host="::1", port=0)) as listener:
        assert address_of(listener).startswith("http://[::1]:")
