"""The report as one self-contained HTML page, and as Markdown for a pull request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headstart.analysis import CaveatKind, Results
from headstart.report import display_tables as cells

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
DRAWN = frozenset(
    {
        "svg", "g", "defs", "path", "use", "image", "text", "tspan", "clipPath", "rect", "circle", "ellipse", "line",
        "polyline", "polygon", "pattern", "linearGradient", "radialGradient", "stop",
    }
)  # what a plot consists of; everything else (metadata, scripts) is left out  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A plot in the page: its SVG, the words for those who can't see it, and the PNG beside the page."""

    name: str
    title: str
    caption: str
    svg: Markup
    png: str  # link, relative to the page


@dataclass(frozen=True)
class Content:
    """Everything that the page says."""

    question: str
    name: str
    study: Results
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()  # what went wrong on making the report

    @property
    def unfinished(self) -> list[str]:
        """The sentences which say that the study goes on."""
        return [str(caveat) for caveat in self.study.caveats if caveat.kind is CaveatKind.UNFINISHED]

    @property
    def caveats(self) -> list[str]:
        """What else has to be said beside the verdicts."""
        others = [str(caveat) for caveat in self.study.caveats if caveat.kind is not CaveatKind.UNFINISHED]
        return [*others, *self.notes]

    @property
    def command(self) -> str:
        """The command that made the study; empty where it is not known."""
        found = self.study.study.get("command")
        return found if isinstance(found, str) else ""


def html(content: Content) -> str:
    """Return the report as one page that needs nothing else: no network, no script, its plots inside."""
    study = content.study
    return _template("report.html.j2", escaped=True).render(
        content=content, study=study, arms=cells.arms(study), speed=cells.speed(study), pairs=cells.pairs(study),
        reported=cells.reported(study), searches=cells.searches(study), search_pairs=cells.search_pairs(study),
        ledger=cells.ledger(study), settings=cells.settings(study), versions=cells.versions(study),
        trials=cells.trials(study),
    )  # fmt: skip


def markdown(content: Content) -> str:
    """Return the report in a few lines of Markdown, for a pull request."""
    study = content.study
    template = _template("report.md.j2", escaped=False)
    tables = [found for found in (cells.arms(study), cells.searches(study), cells.reported(study)) if found]
    return template.render(content=content, study=study, tables=tables)


@cache
def _template(name: str, escaped: bool) -> Any:
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=folder, autoescape=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["md"] = _as_markdown
    environment.filters["fenced"] = _fenced
    return environment.get_template(name)


def _as_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line: what has a meaning there is escaped."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))


def _fenced(text: str) -> str:
    """Text as a block of code, its fence longer than any run of backticks inside."""
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
    return f"{fence}\n{text}\n{fence}"


# ------------------------------------------------------------------------------------------------------------------ SVG


def inline_svg(source: bytes) -> Markup:
    """Return a plot's SVG (`plots.save`) to stand inside a page: only what is drawn, nothing that acts or leads out."""
    root = ElementTree.fromstring(source)
    _keep_drawn(root)
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", LINK[1:].partition("}")[0])
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _keep_drawn(element: ElementTree.Element) -> None:
    for key in [key for key, value in element.items() if key.startswith("on") or _leads_out(key, value)]:
        del element.attrib[key]
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(SVG) in DRAWN:
            _keep_drawn(child)
        else:
            element.remove(child)


def _leads_out(key: str, value: str) -> bool:
    return key.endswith("href") and not value.startswith(("#", "data:image/png;base64,"))
