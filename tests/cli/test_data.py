"""`headstart data`: counts, copies, broken files and the page, as a study would use the pictures."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from data.helpers_data import draw_image, make_tree, needs_cifar10
from helpers_runs import make_study
from PIL import Image
from report.helpers_report import Page

from cli.helpers_cli import refused

LAYOUT = {"train/cat": 40, "train/wild dog": 30, "test/cat": 10, "test/wild dog": 9}


@pytest.fixture
def pets(tmp_path):
    root = make_tree(tmp_path / "my pets", LAYOUT)
    draw_image(900, (30, 20)).save(root / "train/cat/wide.png")
    (root / "notes.txt").write_text("x")
    return root


def rows(text):
    """The counts of each line `cat: 37 training, 4 validation, 10 test, 51 all`."""
    found = re.findall(r"^(.+): ([\d,]+) training, ([\d,]+) validation, ([\d,]+) test, ([\d,]+) all$", text, re.M)
    return {name: [int(n.replace(",", "")) for n in counts] for name, *counts in found}


def test_counts_sizes_and_what_is_left_out_are_said_and_on_the_page(command, pets, tmp_path):
    code, said, err = command("data", "my pets")
    assert code == 0, err
    assert err == "my pets: reading 90 pictures of 2 classes\n"
    assert rows(said) == {"cat": [27, 14, 10, 51], "wild dog": [20, 10, 9, 39], "all classes": [47, 24, 19, 90]}
    assert (
        "Folds: 3 folds, of which number 0 of 0 to 2 validates here; a study's confirmations take them in turn" in said
    )
    assert "Sizes: 12 to 30 pixels wide (median 12), 12 to 20 high (median 12), decoded to 64 x 64, 90 are" in said
    assert "±20.0 points (validation) and ±22.5 points (test)" in said
    assert "Copies: none across parts or classes, and no look-alikes\n" in said
    assert "Left out: files that are no pictures: 1 (notes.txt)\n" in said
    page = tmp_path / "outputs/data/my_pets/index.html"
    assert "\noutputs/data/my_pets/index.html\n" in said and page.with_name("samples.png").exists()
    words = Page(page.read_text()).words()
    assert "wild dog 20 10 9 39" in words and "my_pets: 90 pictures of 2 classes" in words and "notes.txt" in words


def test_json_says_the_same_as_the_table(command, pets):
    _, said, _ = command("data", "my pets", "data.size=32", "split_seed=3", "--to", "page")
    code, text, _ = command("data", "my pets", "--json", "data.size=32", "split_seed=3", "--to", "page")
    found = json.loads(text)
    assert code == 0
    for position, name in enumerate(found["classes"]):
        counts = [found["counts"][part][position] for part in ("train", "val", "test")]
        assert rows(said)[name] == [*counts, sum(counts)]
    for value in (*found["mean"], *found["std"]):
        assert f"{value:.3f}" in said
    assert found["pixels"] == [32, 32] and "decoded to 32 x 32" in said
    assert found["sizes"]["width"] == [12, 12, 30] and found["left_out"]["files that are no pictures"]["count"] == 1
    assert all(f"±{points:.1f} points" in said for points in found["can_show"].values())
    assert all(f"\n{line}\n" in said for line in found["next"]) and f"\n{found['page']}\n" in said


def test_the_commands_to_type_next_run_as_they_are(command, pets, tmp_path):
    _, text, _ = command("data", "my pets", "data.size=16", "--json")
    run, plan, study, timed = (shlex.split(line) for line in json.loads(text)["next"])
    assert plan == [*study, "dry_run=true"] and run[0] == study[0] == "headstart"
    assert [*study[:-2], "minutes=30", f"{study[-1]}_30"] == timed
    code, said, err = command(*plan[1:])
    assert code == 0 and "2 arms" in said + err, err
    code, said, err = command(*run[1:], "epochs=1", "threads=1", "hydra.run.dir=run")
    assert code == 0, err
    ours, trained = (json.loads(t) for t in (text, (tmp_path / "run/result.json").read_text()))
    for part in ("train", "val", "test"):
        assert sum(ours["counts"][part]) == trained[f"{part}_images"]


def test_commands_lead_out_of_the_pictures_and_a_study_takes_every_fold(command, pets, tmp_path, monkeypatch):
    _, text, _ = command("data", "my pets", "data.fold=1", "data.size=8", "--json")
    run, plan, *_ = json.loads(text)["next"]
    assert "data.fold=1" in run and "data.fold" not in plan and "data.size=8" in plan
    monkeypatch.chdir(pets / "train/cat")
    code, text, err = command("data", "../..", "data.size=8", "--json")
    assert code == 0, err
    run, plan, *_ = json.loads(text)["next"]
    assert run == "cd ../../.. && headstart data=folder 'data.root=\"my pets\"' data.size=8"


def test_broken_files_are_counted_and_named_and_the_exit_code_is_1(command, pets):
    for i in range(11):
        (pets / f"train/cat/{i:03}.png").write_bytes(b"junk")
    code, said, err = command("data", "my pets")
    assert code == 1 and rows(said)["cat"][3] == 40
    assert "Refused: 11 of 90 images in my pets cannot be read" in said and "... and 1 more" in said
    assert "train/cat/000.png: no image that Pillow knows" in said
    why = "11 of 90 images in my pets cannot be read; repair or delete them"
    assert err.endswith(f"headstart data: a study would refuse these pictures: {why}\n")
    code, said, _ = command("data", "my pets", "--json")
    assert code == 1 and json.loads(said)["refused"][0].startswith("11 of 90 images")
    assert "A study would refuse this" in (pets.parent / "outputs/data/my_pets/index.html").read_text()


def test_copies_are_said_and_too_many_are_refused_with_the_way_out(command, pets):
    shutil.copy(pets / "train/cat/001.png", pets / "test/cat/copy.png")
    code, said, _ = command("data", "my pets")
    assert code == 0 and rows(said)["all classes"] == [46, 24, 20, 90]
    assert "Copies: 1 of 20 test pictures of my pets are exact copies of training pictures (test/cat/copy.png)" in said
    for i in range(2, 9):
        shutil.copy(pets / f"train/cat/{i:03}.png", pets / f"test/cat/copy{i}.png")
    code, said, _ = command("data", "my pets", "--json")
    found = json.loads(said)
    assert code == 1 and found["counts"]["test"] == [18, 9]
    words = shlex.split(found["next"][0])
    assert words[-1] == "data.duplicates=drop"
    code, said, _ = command(*words[1:], "--json")
    assert code == 0 and json.loads(said)["copies"]["dropped"] == 8 and sum(json.loads(said)["counts"]["train"]) == 42


def test_a_list_of_labels_and_a_source_by_name(command, pets, tmp_path):
    lines = [f"my pets/{p.relative_to(pets)},{p.parent.name}" for p in sorted(pets.rglob("train/*/*.png"))]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *lines]))
    code, said, err = command("data", "labels.csv", "data.test_size=0.5")
    assert code == 0 and rows(said)["all classes"] == [23, 12, 36, 71], err
    code, said, _ = command("data", "digits", "data.classes=[3,8]", "data.train_size=20", "image_size=64")
    assert code == 0 and rows(said)["3"][0] == 10 and list(rows(said)) == ["3", "8", "all classes"]
    assert "all are 32 x 32, resized to 64 x 64 for the network" in said and "Copies: nobody looked for any" in said


@needs_cifar10
def test_cifar_10_by_name(command):
    code, said, _ = command("data", "cifar10")
    assert code == 0 and rows(said)["all classes"] == [45_000, 5_000, 10_000, 60_000]
    assert rows(said)["ship"] == [4_500, 500, 1_000, 6_000]


def test_the_picture_shows_rows_of_training_pictures(command, pets, tmp_path):
    command("data", "my pets")
    with Image.open(tmp_path / "outputs/data/my_pets/samples.png") as picture:
        assert picture.size == (640, 128) and picture.convert("RGB").getcolors(100) is None
    (image,) = Page((tmp_path / "outputs/data/my_pets/index.html").read_text()).all("img")
    assert "cat: 10 of 27; wild dog: 10 of 20" in image["alt"] and image["src"].startswith("data:image/svg+xml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "empty is empty"),
        (["flat"], "holds no folders of images"),
        (["outputs/tiny"], "headstart report outputs/tiny"),
        (["my pets", "lr=1"], "lr=1: behind ROOT stands what changes the data"),
        (["my pets", "data.root=x"], "ROOT says that already"),
        (["my pets", "data.sizes=3"], "did you mean data.size"),
        (["my pets", "data.size=0"], "data.size=0"),
        (["my pets", "data.size=32,64"], "is several values"),
        (["my pets", "data.train_size=3"], "no multiple of 2"),
        (["my pets", "--to", "my pets/page"], "lies among the pictures"),
        (["my pets", "--to", "taken"], "taken/index.html is not headstart's"),
    ],
)
def test_mistakes_get_a_sentence_and_change_nothing(words, said, typed, pets, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    draw_image(0).save(tmp_path / "flat/a.png")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/index.html").write_text("mine")
    make_study(tmp_path / "outputs/tiny", trials=1, seeds=0)
    before = {str(p) for p in tmp_path.rglob("*")}
    code, text = typed("data", *words)
    text = text[text.index("headstart data: ") :].replace("headstart data: ", "headstart: ", 1)
    refused(code, text, f"(?i){said}")
    assert {str(p) for p in tmp_path.rglob("*")} == before and (tmp_path / "taken/index.html").read_text() == "mine"


def test_mistakes_in_the_files_are_said_without_torch(tmp_path):
    make_tree(tmp_path / "one", {"cat": 3})
    script = "import sys; sys.argv = ['headstart', 'data', 'one']\nfrom headstart.cli.main import main\n"
    script += "try:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n" and "one class (cat)" in done.stderr


def test_inside_the_folder_no_page_is_written_among_the_pictures(command, pets, monkeypatch):
    monkeypatch.chdir(pets)
    code, said, _ = command("data", ".")
    assert code == 0 and "no page: outputs/ would lie among the pictures" in said and not (pets / "outputs").exists()


def test_a_terminal_gets_a_table(pets, monkeypatch, capsys):
    from headstart.cli import data

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.chdir(pets.parent)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(data, "MOST_ROWS", 1)
    monkeypatch.setattr(data, "LAST_ROWS", 0)
    data.show(data.make_parser("headstart data").parse_args(["my pets"]))
    text = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())
    assert re.search(r"Class +Training +Validation +Test +All", text)
    assert re.search(r"cat +27 +14 +10 +51", text) and re.search(r"all classes +47 +24 +19 +90", text)
    assert "... 1 more" in text
