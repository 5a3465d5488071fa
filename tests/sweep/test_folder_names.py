"""A path is no URL, no override and no link: studies in folders whose names mean something in another language."""

import html
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest

from headstart.cli.report import report
from headstart.config import override_value
from headstart.store import read_json
from sweep.helpers_sweep import SMALL

NAMES = {
    "options of a URL": "what?mode=memory&uri=true",
    "escapes": "50%20 #{0} größe 数",
    "quotes and a login": 'it\'s "so" me:secret@host a\\b\\',
    "lists": " [a],(b)=c;d&e|f<g> $HOME ",
    "long": "x" * 200,
}
WORDS = ["name=s", "n_trials=2", "confirm_seeds=1"]


def results(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("result.json")}


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_study_goes_on_in_a_folder_of_any_name(sweep, tmp_path, name):
    folder = Path(name) / "s"
    typed = [*WORDS, f"hydra.sweep.dir={override_value(str(folder))}"]
    code, text = sweep(*typed)
    assert code == 0, text
    assert (folder / "study.db").is_file()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    begun = results(folder)
    assert len(begun) == 3
    code, text = sweep(*typed, "dry_run=true")
    assert code == 0 and "3 of 3 runs exist" in text, text
    words = shlex.split(read_json(folder / "study.json")["command"])[2:]
    code, text = sweep(*(w for w in words if w not in SMALL))
    assert code == 0 and results(folder) == begun, text
    report([folder])
    links = [part.partition('"')[0] for part in (folder / "report.html").read_text().split('href="./')[1:]]
    assert links and all((folder / unquote(html.unescape(link))).exists() for link in links)


@pytest.mark.usefixtures("without_plots")
def test_folders_that_differ_behind_a_question_mark_share_no_database(sweep):
    for name in ("a?b=1", "a?b=2"):
        code, text = sweep(*WORDS, f"hydra.sweep.dir={override_value(name)}")
        assert code == 0, text
        assert (Path(name) / "study.db").is_file() and len(results(Path(name))) == 3
