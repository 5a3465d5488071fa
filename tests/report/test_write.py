"""The report says what the tables say, needs nothing but itself, and is written whatever the runs left behind."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from helpers_runs import make_run, make_study

from headstart.analysis import FRAMES
from headstart.analysis import load_results as load
from headstart.analysis.csv_tables import read_table
from headstart.errors import UserError
from headstart.report import display_tables as cells
from headstart.report import page, write_report
from headstart.report.plots import all as plots
from headstart.report.write import question
from headstart.store import write_json

VOID = {"meta", "br", "link", "img", "input", "hr", "base"}


class Page(HTMLParser):
    """What a browser sees: elements with attributes, and the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.open, self.wrong = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.text.append(" " if tag in ("td", "th", "li", "p") else "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", {}))

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    def structure(self):
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]

    def words(self):
        return " ".join("".join(self.text).split())


def read(root):
    return Page((root / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study with its report, plots included; beside it, in a file, what was said to be written."""
    root = make_study(tmp_path_factory.mktemp("outputs") / "tiny")
    before = [str(p) for p in root.rglob("*")]
    written = [str(p) for p in write_report(load(root))]
    write_json(root.parent / "written.json", {"before": before, "written": written})
    return root


# ------------------------------------------------------------------------------------------------------------- the page


def test_page_needs_no_network_and_runs_nothing(finished):
    found = read(finished)
    assert not found.all("script", "link", "iframe", "object", "embed", "form", "base", "comment", "foreignobject")
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    policies = [a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0] and "script" not in policies[0]
    leading = [v for _, a in found.elements for k, v in a.items() if k.endswith(("href", "src")) and v]
    assert all(v.startswith(("#", "./", "tables/", "plots/", "data:image/png;base64,")) for v in leading)
    style = (finished / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_page_is_well_formed_and_its_ids_are_its_own(finished):
    found = read(finished)
    assert not found.wrong and not found.open
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    inside = [v[1:] for _, a in found.elements for k, v in a.items() if k.endswith("href") and v.startswith("#")]
    clips = re.findall(r"url\(#([^)]+)\)", (finished / "report.html").read_text())
    assert clips and set(inside) | set(clips) <= set(ids)


def test_page_can_be_read_by_keyboard_and_by_ear(finished):
    found = read(finished)
    assert found.all("html") == [{"lang": "en"}] and len(found.all("main")) == len(found.all("header")) == 1
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    pictures = found.all("svg")
    assert len(pictures) >= 5 and len(pictures) == len(found.all("figure")) == len(found.all("figcaption"))
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in pictures)
    first = found.all("a")[0]
    assert first["class"] == "skip" and first["href"] == "#main"
    ids = {a["id"] for _, a in found.elements if "id" in a}
    assert {a["aria-labelledby"] for _, a in found.elements if "aria-labelledby" in a} <= ids
    assert all(a["tabindex"] == "0" for a in found.all("div") if a.get("class") == "scroll")  # scrolled by arrow keys


def test_page_is_made_for_light_dark_and_paper(finished):
    text = (finished / "report.html").read_text()
    assert "prefers-color-scheme: dark" in text and "@media print" in text and "break-inside: avoid" in text


def test_page_says_question_verdict_arms_plots_and_ledger_in_this_order(finished):
    words = read(finished).words()
    study = load(finished)
    order = ["tiny", study.verdicts[0], str(study.caveats[0]), "Test, mean %", "Readings of the test split", "PNG"]
    places = [words.index(" ".join(part.split())) for part in order]
    assert places == sorted(places)
    assert "pretrained is better than random" in study.verdicts[0]
    mean = f"{study.arms.loc[study.arms['arm'] == 'pretrained', 'test_mean'].iloc[0]:.2f}"
    assert mean in words and "headstart -m name=tiny" in words and "2.15.0" in words and "f00d" in words
    for caveat in study.caveats:
        assert " ".join(str(caveat).split()) in words
    for key in ("protocol", "epochs", "model.weights", "n_trials", "confirm_seeds"):
        assert key in words
    assert "nfinished" not in words


def test_every_link_leads_to_something(finished):
    links = [a["href"] for a in read(finished).all("a") if not a["href"].startswith("#")]
    assert len(links) >= len(load(finished).trials) + 5
    missing = [link for link in links if not (finished / unquote(link)).exists()]
    assert missing == []


def test_the_same_runs_give_the_same_bytes(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny", trials=2, seeds=2)
    first = {path: path.read_bytes() for path in write_report(load(root))}
    assert first == {path: path.read_bytes() for path in write_report(load(root))}


def test_all_that_is_written_is_named_and_the_page_comes_last(finished):
    known = json.loads((finished.parent / "written.json").read_text())
    written = [Path(p) for p in known["written"]]
    assert written[-1] == finished / "report.html"
    assert {str(p) for p in finished.rglob("*") if p.is_file()} - set(known["before"]) == set(known["written"])
    assert {p.name for p in written} >= {f"{name}.csv" for name in FRAMES} | {"report.md", "arms.png", "arms.svg"}


def test_a_study_that_goes_on_says_so_at_the_top(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny", n_trials=9)
    write_report(load(root))
    words = read(root).words()
    assert words.index("10 of 18 search trials") < words.index("Verdict Arms")
    assert "**Unfinished.**" in (root / "report.md").read_text()


def test_a_run_on_its_way_and_a_failed_one_are_rows_with_state_and_reason(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny")
    make_run(root, "random/search/005", arm="random", phase="search", number=5, seed=0, lr=1e-2, state="FAILED",
             reason="CUDA out of memory")  # fmt: skip
    make_run(root, "random/search/006", arm="random", phase="search", number=6, seed=0, lr=1e-2)
    write_report(load(root))
    words = read(root).words()
    assert "FAILED CUDA out of memory" in words and "INTERRUPTED" in words


def test_settings_that_differ_stand_beside_each_other_and_lists_are_whole(tmp_path):
    long = [f"choice{i}" for i in range(100)]
    own = {"a": {"epochs": 3, "frozen": True, "list": long}, "b": {"epochs": 3, "frozen": None, "list": long}}
    root = make_study(tmp_path / "tiny", {"a": 1.0, "b": 2.0}, trials=1, seeds=0, arms=own)
    differing, common = cells.settings(load(root))
    assert [[cell.text for cell in row] for row in differing.rows] == [["frozen", "true", "null"]]
    assert [c.text for row in common.rows for c in row if row[0].text == "list"] == ["list", f"[{', '.join(long)}]"]


# ------------------------------------------------------------------------------------------------------------ questions


def test_question_is_the_studys_own_or_its_files_first_comment_or_its_name(tmp_path):
    study = load(make_study(tmp_path / "tiny", trials=1, seeds=0))
    asked = {
        "Does it?": {"question": "Does it?", "experiment": "quickstart"},
        "What does pretraining on the digits 0 to 4 buy": {"experiment": "quickstart"},
        "tiny": {"experiment": "of_my_own", "question": 3},
    }
    for expected, found in asked.items():
        assert question(dataclasses.replace(study, study=found)).startswith(expected)
    for path in ("../../setup", "/etc/passwd", "", None, 5, ["x"]):
        assert question(dataclasses.replace(study, study={"experiment": path})) == "tiny"


# -------------------------------------------------------------------------------------------------------------- hostile

SEEDS_OF_HARM = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<b>bold</b>", "</td></tr>",
    "</table><h1>x", "</style><script>1</script>", "<!-- ", "-->", "<![CDATA[x]]>", "&lt;b&gt;", "&#60;b&#62;",
    "javascript:alert(1)", "{{ 7*7 }}", "{% raw %}", "<a href=//x.example>y</a>", "<iframe srcdoc='<b>'>",
    "<base href=x>", "<meta http-equiv=refresh content=0>", "<svg><script>1</script></svg>",
    "<math><mi//xlink:href='data:x'>",
    "</title><script>1</script>", "<form action=x><button>", "<details open ontoggle=alert(1)>", "\u202e<b>\u2066",
]  # fmt: skip
WRAPPINGS = ["{}", '"{}', "'{}", '"> {}', "'> {}", "x {} y", "`{}", "a=b {}"]
PAYLOADS = [wrapping.format(harm) for harm in SEEDS_OF_HARM for wrapping in WRAPPINGS]


def spoiled(study, payload):
    """The study with HARM replaced by `payload` wherever there is text."""

    def swap(value):
        return value.replace("HARM", payload) if isinstance(value, str) else value

    frames = {name: getattr(study, name).astype(object).map(swap) for name in FRAMES}
    facts = json.loads(json.dumps(study.study).replace("HARM", json.dumps(payload)[1:-1]))
    caveats = [dataclasses.replace(caveat, text=swap(caveat.text)) for caveat in study.caveats]
    verdicts = [swap(text) for text in study.verdicts]
    return dataclasses.replace(study, **frames, study=facts, verdicts=verdicts, caveats=caveats)


def test_200_payloads_in_every_text_add_no_tag_no_attribute_and_stay_readable(tmp_path):
    root = make_study(tmp_path / "tiny", {"HARM": 80.0, "b": 90.0}, trials=2, seeds=2, question="HARM",
                      command="headstart HARM", arms={"HARM": {"HARM": "HARM"}, "b": {"k": ["HARM"]}})  # fmt: skip
    make_run(root, "x", arm="HARM", phase="search", number=7, state="FAILED", reason="HARM", device="HARM",
             git_commit="HARM", model="HARM", params={"model.name": "HARM"}, run_dir="HARM")  # fmt: skip
    study = load(root)
    harmless = Page(page.html(page.Content("word", "word", spoiled(study, "word"), notes=["word"])))
    assert len(set(PAYLOADS)) == 200 and harmless.words().count("word") > 20
    for payload in PAYLOADS:
        content = page.Content(payload, payload, spoiled(study, payload), notes=[payload])
        found = Page(page.html(content))
        assert found.structure() == harmless.structure(), payload
        shown = " ".join(payload.split())
        assert found.words().count(shown) >= harmless.words().count("word"), payload


def test_awkward_arm_names_go_through_tables_plots_and_page(tmp_path):
    names = ["<script>alert(1)</script>", 'a,"b"\nc', "NA", "null", "模型 🦊", "$x^2_{$ & 'y'", "javascript:alert(1)"]
    for number, name in enumerate(names):
        place = ["a b", "c#d", "e?f=1&g", "%2e%2e", 'q"q', "javascript:alert(1)", "<b>"][number]
        scores = dict(test_accuracy=80.0 + number, confusion=[[4, 1], [1, 4]])
        make_run(tmp_path, place, arm=name, phase="run", seed=0, lr=0.1, state="COMPLETE", val_accuracy=70.0, **scores)
    write_report(load(tmp_path))
    found = read(tmp_path)
    assert not found.all("script", "b", "comment") and not found.wrong and len(found.all("svg")) >= 2
    for name in names:
        assert " ".join(name.split()) in found.words()
    links = [a["href"] for a in found.all("a") if a["href"].startswith("./")]
    assert len(links) >= len(names) and all((tmp_path / unquote(link)).is_dir() for link in links)
    assert set(read_table(tmp_path / "tables/arms.csv")["arm"]) == set(names)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '{"arms": 3, "common": [1]}', '{"arms": {"random": 5}, "spaces": []}', '{"name": {}}',
     '{"arm_order": 7, "n_trials": "x", "command": 5, "question": [1], "experiment": {}}', '{"arms": {"random": {}}}',
     '{"spaces": {"random": {"lr": 5}}, "arm_order": [1, null]}', "\x00\xff"],
)  # fmt: skip
def test_a_damaged_or_foreign_study_json_is_no_reason_for_no_report(tmp_path, without_plots, text):
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    (root / "study.json").write_text(text, encoding="latin-1")
    write_report(load(root))
    assert "random" in read(root).words()


def test_half_written_missing_and_foreign_files_leave_rows_with_reasons_and_a_page(tmp_path):
    root = make_study(tmp_path / "tiny", trials=3, seeds=2)
    (root / "random/search/000/result.json").write_text('{"state": "COMP')
    (root / "random/search/001/epochs.csv").write_bytes(b"\xff\x00,epoch\n1,2")
    (root / "random/confirm/002/seed-1/result.json").write_text(
        '{"state": "COMPLETE", "val_accuracy": 5, "confusion": 3}'
    )
    (root / "random/confirm/002/seed-2/predictions.npz").write_bytes(b"PK no")
    (root / "pretrained/search/002/run.json").unlink()
    (root / "photos").mkdir()
    (root / "photos/result.json").mkdir()
    (root / "tables").mkdir()
    (root / "tables/trials.csv").write_text("mine")
    write_report(load(root))
    words = read(root).words()
    assert "unreadable result.json" in words and "INTERRUPTED" in words
    assert "Plots are missing" not in words


def test_a_study_that_has_only_begun_gives_an_empty_report(tmp_path):
    write_report(load(make_study(tmp_path, trials=0, seeds=0)))
    words = read(tmp_path).words()
    assert "There are no two arms to compare." in words and "none yet" in words


def test_a_fault_in_the_plots_costs_the_plots_and_not_the_page(tmp_path, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("no <ink>")

    monkeypatch.setattr(plots, "draw_all", broken)
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    write_report(load(root))
    assert "Plots are missing: drawing them failed with RuntimeError: no <ink>" in read(root).words()
    assert "no <ink>" in caplog.text


def test_only_what_is_drawn_of_an_svg_comes_into_the_page():
    source = b"""<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" onload="x()"
      xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="a &lt;b&gt;"><metadata><x/></metadata>
      <script>1</script><style>*{}</style><!-- c --><foreignObject><p>x</p></foreignObject>
      <g onclick="x()"><image xlink:href="data:image/png;base64,AA=="/><image xlink:href="http://x.example/y.png"/>
      <use xlink:href="#a" href="javascript:x()"/><text>1 &lt; 2</text></g></svg>"""
    found = Page(str(page.inline_svg(source)))
    assert [tag for tag, _ in found.elements] == ["svg", "g", "image", "image", "use", "text"]
    assert "1 < 2" in found.words() and found.all("svg")[0]["aria-label"] == "a <b>"
    values = [v for _, a in found.elements for k, v in a.items() if not k.startswith("xmlns")]
    assert values == ["img", "a <b>", "data:image/png;base64,AA==", "#a"]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=0)
    (root / "tables").write_text("in the way")
    with pytest.raises(UserError, match="tables cannot be made"):
        write_report(load(root))


# ------------------------------------------------------------------------------------------------------------- markdown


def test_markdown_has_question_verdict_arms_and_command(finished):
    text = (finished / "report.md").read_text()
    assert text.startswith("### tiny\n") and text.rstrip().endswith("```\nheadstart -m name=tiny\n```")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| random |") and re.fullmatch(r"\|( -+:? \|)+", rows[1])
    assert text.count("\n") < 30


def test_markdown_means_nothing_in_names(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny", {"a|b": 1.0, "<b>*x*</b>\n# y": 2.0}, trials=1, seeds=0,
                      command="headstart ```` x")  # fmt: skip
    write_report(load(root))
    text = (root / "report.md").read_text()
    assert r"| a\|b |" in text and "`````\nheadstart ```` x\n`````" in text
    assert r"| &lt;b>\*x\*&lt;/b> \# y |" in text
    rows = [re.sub(r"\\.", "", line) for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


# ---------------------------------------------------------------------------------------------------------------- cells


def test_numbers_are_written_for_people():
    assert [cells.number(v) for v in (81.234, 1234.5, None, pd.NA, float("nan"))] == [
        "81.23",
        "1,234.50",
        "–",
        "–",
        "–",
    ]
    assert [cells.short(v) for v in (1e-3, 3.1622e-5, 0.1, "adam", 5, pd.NA)] == [
        "0.001",
        "3.16e-05",
        "0.1",
        "adam",
        "5",
        "–",
    ]
    times = [cells.duration(v).replace("\N{NO-BREAK SPACE}", " ") for v in (0.04, 99.9, 100, 3599, 7260, pd.NA)]
    assert times == ["0.0 s", "99.9 s", "1 min 40 s", "59 min 59 s", "2 h 1 min", "–"]
    assert len(cells.text("x" * 5000)) == cells.LONGEST_CELL + 1
