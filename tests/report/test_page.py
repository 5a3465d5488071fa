"""The page says what the tables say, needs nothing but itself, and no name in it is anything but text."""

import base64
import dataclasses
import json
import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from helpers_runs import make_run, make_study

from headstart.analysis import FRAMES, read_table
from headstart.analysis import load_results as load
from headstart.report import page, write_report
from headstart.report.figures import draw_all
from headstart.report.headline import headline
from headstart.store import StudyFile
from report.helpers_report import Page, read


def test_page_needs_no_network_and_runs_nothing(finished):
    found = read(finished)
    assert not found.all("script", "link", "iframe", "object", "embed", "form", "base", "comment", "foreignobject")
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    policies = [a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0] and "script" not in policies[0]
    leading = [v for _, a in found.elements for k, v in a.items() if k.endswith(("href", "src")) and v]
    assert all(v.startswith(("#", "./", "tables/", "plots/", "data:image/svg+xml;base64,")) for v in leading)
    style = (finished / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_page_is_well_formed_and_its_ids_are_its_own(finished):
    found = read(finished)
    assert not found.wrong and not found.open
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    inside = [v[1:] for _, a in found.elements for k, v in a.items() if k.endswith("href") and v.startswith("#")]
    assert inside and set(inside) <= set(ids)


def test_page_can_be_read_by_keyboard_and_by_ear(finished):
    found = read(finished)
    assert found.all("html") == [{"lang": "en"}] and len(found.all("main")) == len(found.all("header")) == 1
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    images = found.all("img")
    assert len(images) >= 5 and len(images) == len(found.all("figure")) == len(found.all("figcaption"))
    assert all(len(a["alt"]) > 20 for a in images)
    first = found.all("a")[0]
    assert first["class"] == "skip" and first["href"] == "#main"
    ids = {a["id"] for _, a in found.elements if "id" in a}
    assert {a["aria-labelledby"] for _, a in found.elements if "aria-labelledby" in a} <= ids
    assert all(a["tabindex"] == "0" for a in found.all("div") if a.get("class") == "scroll")  # scrolled by arrow keys


def test_page_is_made_for_light_dark_and_paper(finished):
    text = (finished / "report.html").read_text()
    assert "prefers-color-scheme: dark" in text and "@media print" in text and "break-inside: avoid" in text


def test_paper_cuts_nothing_off_and_a_phone_shrinks_no_plot_below_what_can_be_read(finished):
    text = (finished / "report.html").read_text()
    paper = text.partition("@media print {")[2].partition("</style>")[0]
    (whole,) = re.findall(r"^  figure, tr, (.*) \{ break-inside: avoid; \}$", paper, re.MULTILINE)
    assert ".plot" in whole
    for rule in (".scroll { overflow: visible; }", "wbr { display: inline; }", "min-width: 0 !important"):
        assert rule in paper
    assert "\nwbr { display: none; }" in text.partition("@media print {")[0]  # a screen is scrolled
    shown = {a["alt"]: a["style"] for a in read(finished).all("img")}
    assert shown == {f.alt: f"min-width: {f.least_width}px" for f in draw_all(load(finished))}


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("frozen", ["frozen"]),
        ("resnet18_cifar100_weights", ["resnet18_", "cifar100_", "weights"]),
        ("outputs/one/search/000", ["outputs/", "one/", "search/", "000"]),
        ("f" * 40, ["f" * 16, "f" * 16, "f" * 8]),
        ("two words, a<b>", ["two words, a&lt;b&gt;"]),
    ],
)
def test_long_words_of_a_table_may_be_broken_on_paper(word, pieces):
    assert str(page._breakable(word)) == "<wbr>".join(pieces)


def test_page_says_question_answer_pictures_arms_verdict_caveats_and_cost_in_this_order(finished):
    words = read(finished).words()
    study = load(finished)
    order = ["tiny", headline(study), "PNG", "Test, mean %", study.verdicts[0], str(study.caveats[0])]
    order += ["How fast they learn", "How much tuning they need", "Readings of the test split"]
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


def test_a_study_that_goes_on_says_so_at_the_top(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny", n_trials=9)
    write_report(load(root))
    words = read(root).words()
    assert words.index("10 of 18 search trials") < words.index("Answer Verdict")
    assert "**Unfinished.**" in (root / "report.md").read_text()


SEEDS_OF_HARM = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<b>bold</b>",
    "</td></tr>",
    "</table><h1>x",
    "</style><script>1</script>",
    "<!-- ",
    "-->",
    "<![CDATA[x]]>",
    "&lt;b&gt;",
    "&#60;b&#62;",
    "javascript:alert(1)",
    "{{ 7*7 }}",
    "{% raw %}",
    "<a href=//x.example>y</a>",
    "<iframe srcdoc='<b>'>",
    "<base href=x>",
    "<meta http-equiv=refresh content=0>",
    "<svg><script>1</script></svg>",
    "<math><mi//xlink:href='data:x'>",
    "</title><script>1</script>",
    "<form action=x><button>",
    "<details open ontoggle=alert(1)>",
    "\u202e<b>\u2066",
]
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
    said = dict(study=facts, study_file=StudyFile.of(facts), verdicts=verdicts, caveats=caveats)
    return dataclasses.replace(study, **frames, **said)


def test_200_payloads_in_every_text_add_no_tag_no_attribute_and_stay_readable(tmp_path):
    about = dict(question="HARM", command="headstart HARM", arms={"HARM": {"HARM": "HARM"}, "b": {"k": ["HARM"]}})
    root = make_study(tmp_path / "tiny", {"HARM": 80.0, "b": 90.0}, trials=2, seeds=2, **about)
    facts = dict.fromkeys(("arm", "reason", "device", "git_commit", "model", "run_dir"), "HARM")
    make_run(root, "x", phase="search", number=7, state="FAILED", params={"model.name": "HARM"}, **facts)
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
    assert not found.all("script", "b", "comment") and not found.wrong and len(found.all("img")) >= 2
    for name in names:
        assert " ".join(name.split()) in found.words()
    links = [a["href"] for a in found.all("a") if a["href"].startswith("./")]
    assert len(links) >= len(names) and all((tmp_path / unquote(link)).is_dir() for link in links)
    assert set(read_table(tmp_path / "tables/arms.csv")["arm"]) == set(names)


def test_an_image_of_the_page_is_the_file_beside_it(finished):
    images = [a["src"].partition("base64,")[2] for a in read(finished).all("img")]
    names = [a["href"] for a in read(finished).all("a") if a["href"].startswith("plots/")]
    files = [(finished / name).with_suffix(".svg").read_bytes() for name in names]
    assert files and [base64.b64decode(image) for image in images] == files


def test_markdown_has_question_verdict_arms_and_command(finished):
    text = (finished / "report.md").read_text()
    assert f"**{headline(load(finished))}**".replace("(", r"\(") in text.replace(r"\)", ")")
    assert text.startswith("### tiny\n") and text.rstrip().endswith("```\nheadstart -m name=tiny\n```")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| random |") and re.fullmatch(r"\|( -+:? \|)+", rows[1])
    assert text.count("\n") < 30


def test_markdown_means_nothing_in_names(tmp_path, without_plots):
    arms = {"a|b": 1.0, "<b>*x*</b>\n# y": 2.0}
    root = make_study(tmp_path / "tiny", arms, trials=1, seeds=0, command="headstart ```` x")
    write_report(load(root))
    text = (root / "report.md").read_text()
    assert r"| a\|b |" in text and "`````\nheadstart ```` x\n`````" in text
    assert r"| &lt;b>\*x\*&lt;/b> \# y |" in text
    rows = [re.sub(r"\\.", "", line) for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
