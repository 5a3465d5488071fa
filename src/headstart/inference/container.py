"""The folder that runs an exported network as a service: image, compose file with a dashboard, Kubernetes."""

import importlib.metadata as metadata
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from packaging.requirements import Requirement
from packaging.version import Version

from headstart import __version__
from headstart.errors import UserError, printable
from headstart.store import expanded, sha256_of, write_atomically

TEMPLATES = Path(__file__).with_name("container_templates")
MODEL = "model"  # the folder for the exported network itself
PACKAGE = "headstart"
# Every name, port and version that the files have in common.
NAMES = dict(
    app="headstart",
    port=8000,
    prometheus_port=9090,
    grafana_port=3000,
    prometheus_version="v3.5.0",
    grafana_version="12.1.0",
    datasource="prometheus",
    secret="headstart-api-key",
    uid=10001,
    grace=45,  # seconds: the 30 that a request may take, and those in which it is heard that no more should come
    uv="0.13.8",
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    version=__version__,
    wheel=f"{PACKAGE}-{__version__}-py3-none-any.whl",
)


def container_files() -> list[str]:
    """The files that `write_container` writes, relative to its folder."""
    made = (path.relative_to(TEMPLATES).with_suffix("") for path in TEMPLATES.rglob("*.j2"))
    return sorted([*map(str, made), "constraints.txt"])


def check_container_folder(folder: Path, formats: Sequence[str], *, force: bool = False) -> Path:
    """Return `folder`, its tilde expanded, where a container's files may be written into it.

    formats: what the network is exported in. force: files of the same names may be replaced; all others stay as they
    are.

    Raises:
        UserError: it is a file, holds something without `force`, or a folder where one of the files has to be; or the
            weights, which are what is served, are not among the formats.
    """
    folder = expanded(folder)
    if "weights" not in formats:
        raise UserError(f"--formats {','.join(formats)}: a container needs the weights, too; give weights,onnx")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder behind --to-container")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if there and not force:
        raise UserError(
            f"{folder} holds {printable(there[0])} already; give an empty or new folder behind --to-container, or "
            "--force, which replaces files of the same names alone"
        )
    if taken := [name for name in container_files() if (folder / name).is_dir()]:
        raise UserError(f"{folder / taken[0]} is a folder and has to be a file; give another one behind --to-container")
    return folder


def write_container(folder: Path, title: str) -> list[str]:
    """Write into `folder`, which holds an exported network in MODEL, what runs it as a service; return what to type.

    title: what the network is called on the dashboard. The image's tag is the beginning of the weights' sha256, so
    that another network is another image. No file has a key in it.

    Raises:
        UserError: a file cannot be written.
    """
    weights = sha256_of(folder / MODEL / "model.safetensors")
    values = NAMES | dict(title=printable(title), image=f"{NAMES['app']}:{weights[:12]}")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["md"] = _markdown
    contents = {
        name: environment.get_template(f"{name}.j2").render(values)
        for name in container_files()
        if name != "constraints.txt"
    }
    contents["constraints.txt"] = "".join(f"{line}\n" for line in constraints())
    for name, text in contents.items():
        if name.endswith(".json"):
            text = json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    return [
        f"{folder / 'README.md'}\n  how to run it with docker, compose or Kubernetes; first, once:\n"
        f"  pip wheel --no-deps --wheel-dir {folder / 'wheels'} {_sources()}"
    ]


@cache
def constraints() -> list[str]:
    """`name==version` of every library that `headstart[serve]` brings, as far as it is installed here."""
    found, open_names = {}, [Requirement(f"{PACKAGE}[serve]")]
    while open_names:
        wanted = open_names.pop()
        try:
            distribution = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        name = distribution.metadata["Name"].lower()
        if (seen := (name, *sorted(wanted.extras))) in found:
            continue
        found[seen] = Version(distribution.version).public  # without +cpu, which the image's own choice decides
        needs = map(Requirement, distribution.requires or [])
        extras = [*wanted.extras, ""]
        open_names += [n for n in needs if n.marker is None or any(n.marker.evaluate(dict(extra=e)) for e in extras)]
    return sorted({f"{name}=={version}" for (name, *_), version in found.items() if name != PACKAGE})


def _sources() -> str:
    """Where the installed headstart is from, as pip takes it; a word to replace where that isn't recorded."""
    try:
        told = json.loads(metadata.distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        told = {}
    url = str(told.get("url", ""))
    if url.startswith("file:"):
        return unquote(urlsplit(url).path)
    version_control = told.get("vcs_info", {}).get("vcs")
    return f"{version_control}+{url}" if version_control else url or "SOURCES"


def _markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
