"""The page on which a picture can be dropped: one document without external files."""

import base64
import hashlib
import re

from jinja2 import Environment, PackageLoader

from headstart.serving.service import Model
from headstart.serving.settings import Settings

SHOWN_CLASSES = 12  # in the sentence that lists them


def page(model: Model, settings: Settings) -> tuple[str, dict[str, str]]:
    """The page as HTML, and the headers that forbid it everything that it does not need."""
    loader = PackageLoader("headstart.serving")
    template = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template
    shown = template("page.html.j2").render(model=model, settings=settings, shown_classes=SHOWN_CLASSES)
    parts = {kind: re.search(rf"<{kind}>(.*?)</{kind}>", shown, re.DOTALL)[1] for kind in ("style", "script")}
    hashes = {kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for kind, text in parts.items()}
    rules = [
        "default-src 'none'",
        f"style-src 'sha256-{hashes['style']}'",
        f"script-src 'sha256-{hashes['script']}'",
        "img-src blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    headers = {"Content-Security-Policy": "; ".join(rules), "X-Content-Type-Options": "nosniff"}
    return shown, headers | {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
