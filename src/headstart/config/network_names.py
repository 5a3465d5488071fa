"""Which library has a network of some name: read in their files, as importing them takes seconds."""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

DEFINED = {
    "timm": re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE),
    "torchvision": re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE),
}


def library_of(name: str) -> tuple[str, str] | None:
    """The library, timm first, and the name that the network has there; None for a name that neither has.

    Capitals, dashes and underscores may differ: ResNet-50 is resnet50.
    """
    for library in DEFINED:
        known = _names(library)
        if name in known:
            return library, name
    for library in DEFINED:
        alike = {_plain(known): known for known in reversed(_names(library))}
        if _plain(name) in alike:
            return library, alike[_plain(name)]
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=2)
def _names(library: str) -> list[str]:
    found = find_spec(library)
    places = [Path(place) / "models" for place in (found and found.submodule_search_locations) or ()]
    files = [file for place in places for file in sorted(place.glob("*.py"))]
    return [name for file in files for name in DEFINED[library].findall(file.read_text("utf-8", "replace"))]
