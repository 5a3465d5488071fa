"""The report as one self-contained HTML page, and as Markdown for a pull request."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headstart.analysis import CaveatKind, Results
from headstart.report import display_tables
from headstart.report.data_of_results import data_of
from headstart.report.drawing import EmbeddedFigure
from headstart.report.headline import headline


@dataclass(frozen=True)
class Content:
    """Everything that the page says."""

    question: str
    name: str
    results: Results
    figures: Sequence[EmbeddedFigure] = ()
    notes: Sequence[str] = ()  # what went wrong on making the report

    @property
    def headline(self) -> str:
        """The answer in plain words."""
        return headline(self.results)

    def of(self, section: str) -> list[EmbeddedFigure]:
        """The figures of a section of the page."""
        return [figure for figure in self.figures if figure.section == section]

    @property
    def unfinished(self) -> list[str]:
        """The sentences which say that the study goes on."""
        return [str(caveat) for caveat in self.results.caveats if caveat.kind is CaveatKind.UNFINISHED]

    @property
    def caveats(self) -> list[str]:
        """What else has to be said beside the verdicts."""
        others = [str(caveat) for caveat in self.results.caveats if caveat.kind is not CaveatKind.UNFINISHED]
        return [*others, *self.notes]

    @property
    def can_be_explained(self) -> bool:
        """Whether a picture of where the arms looked is missing that could be made: weights of tested runs are here."""
        tested = self.results.trials.loc[self.results.trials["test_accuracy"].notna(), "run_dir"].dropna()
        is_there = any(figure.title == EXPLAINED_TITLE for figure in self.figures)
        return not is_there and any((self.results.root / run_dir / "best.safetensors").exists() for run_dir in tested)

    @property
    def command(self) -> str:
        """The command that made the study; empty where it is not known."""
        return self.results.study_file.command


EXPLAINED_TITLE = "Where the arms looked"
LONG_WORD = 12  # characters
_PIECE = re.compile(r"[^_/.,=:-]{1,16}[_/.,=:-]*|[_/.,=:-]+")
PAGE_TABLES = (
    "arms",
    "speed",
    "footprint",
    "pairs",
    "reported",
    "searches",
    "search_pairs",
    "ledger",
    "settings",
    "versions",
    "trials",
)
MARKDOWN_TABLES = ("arms", "searches", "reported")


def html(content: Content) -> str:
    """Return the report as one page that needs nothing else: no network, no script, its plots inside."""
    tables = {name: getattr(display_tables, name)(content.results) for name in PAGE_TABLES}
    given = dict(content=content, results=content.results, data=data_of(content.results))
    return _template("report.html.j2", escaped=True).render(**given, **tables)


def data_html(**given: Any) -> str:
    """Return the page on a data set alone; given: what its template names."""
    return _template("data.html.j2", escaped=True).render(**given)


def model_card(**given: Any) -> str:
    """Return the README.md of an exported network; given: what its template names."""
    return _template("model_card.md.j2", escaped=False).render(**given)


def markdown(content: Content) -> str:
    """Return the report in a few lines of Markdown, for a pull request."""
    tables = [getattr(display_tables, name)(content.results) for name in MARKDOWN_TABLES]
    template = _template("report.md.j2", escaped=False)
    return template.render(content=content, results=content.results, tables=[table for table in tables if table])


@cache
def _template(name: str, escaped: bool) -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _as_markdown
    environment.filters["fenced"] = _fenced
    environment.filters["breakable"] = _breakable
    return environment.get_template(name)


def _as_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line: what has a meaning there is escaped."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))


def _breakable(text: str) -> Markup:
    """Text whose long words may be broken on paper: behind punctuation, and where there is none for long."""
    words = [_PIECE.findall(word) if len(word) > LONG_WORD else [word] for word in re.split(r"(\s+)", str(text))]
    return Markup("").join(Markup("<wbr>").join(pieces) for pieces in words)


def _fenced(text: str) -> str:
    """Text as a block of code, its fence longer than any run of backticks inside."""
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
    return f"{fence}\n{text}\n{fence}"
