"""What is loaded of a folder of runs: frames, sentences and the runs behind an arm, wherever the folder stands."""

import pytest
from helpers_runs import make_run, make_study
from pandas.testing import assert_frame_equal

import headstart as hs
from headstart.analysis import FRAMES, CaveatKind, told_apart
from headstart.analysis.csv_tables import read_table, write_table
from headstart.cli.report import report, write_tables
from headstart.errors import UserError
from headstart.store import StudyFile


def frames_equal(a, b):
    for name in FRAMES:
        assert_frame_equal(getattr(a, name), getattr(b, name))


def write_frames(study):
    return [write_table(study.root / "tables" / f"{name}.csv", getattr(study, name)) for name in FRAMES]


def test_frames_are_the_csv_files_with_their_types(tmp_path):
    study = hs.load(make_study(tmp_path / "tiny", trials=2, seeds=3))
    for path, name in zip(write_frames(study), FRAMES, strict=True):
        assert_frame_equal(read_table(path), getattr(study, name))
    assert len(study.trials) == 10 and len(study.arms) == 2 and len(study.pairs) == 1 and len(study.epochs) == 30
    assert study.study["name"] == "tiny" and repr(study) == f"<tiny: 2 arms, 10 runs in {tmp_path / 'tiny'}>"


def test_loading_writes_nothing(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=0)
    before = sorted(root.rglob("*"))
    hs.load(root)
    assert sorted(root.rglob("*")) == before


def test_a_moved_folder_loads_the_same(tmp_path):
    before = hs.load(make_study(tmp_path / "here", trials=2, seeds=3))
    (tmp_path / "here").rename(tmp_path / "there")
    after = hs.load(tmp_path / "there")
    frames_equal(before, after)
    assert after.best("random").path == tmp_path / "there/random/search/001" and after.best("random").path.is_dir()


def test_a_study_in_progress_loads_and_has_no_best_yet(tmp_path):
    make_run(tmp_path, "random/search/000", arm="random", phase="search", number=0, seed=0, lr=0.1)
    study = hs.load(tmp_path)
    assert study.trials["state"].tolist() == ["INTERRUPTED"] and study.verdict() == "There are no two arms to compare."
    with pytest.raises(UserError, match="no trial that may be selected"):
        study.best("random")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    make_study(tmp_path / "tiny", trials=1, seeds=0)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(hs.load("~/tiny").trials) == len(hs.load(tmp_path / "tiny").trials)


def test_an_empty_folder_loads_and_a_missing_one_is_a_sentence(tmp_path):
    assert len(hs.load(tmp_path).trials) == 0
    with pytest.raises(UserError, match="is not a folder"):
        hs.load(tmp_path / "nowhere")


def test_where_only_the_tables_are_left_they_are_read(tmp_path):
    whole = hs.load(make_study(tmp_path / "tiny", trials=2, seeds=3))
    write_frames(whole)
    (tmp_path / "left").mkdir()
    (tmp_path / "tiny/tables").rename(tmp_path / "left/tables")
    left = hs.load(tmp_path / "left")
    frames_equal(whole, left)
    assert left.verdict() == whole.verdict()


def test_several_studies_load_side_by_side(tmp_path):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=1, seeds=2)
    study = hs.load(tmp_path / "one", tmp_path / "two")
    assert study.arms["study"].tolist() == ["one", "one", "two", "two"] and study.study == {}
    assert all((study.root / place).is_dir() for place in study.trials["run_dir"])
    assert [text.partition(":")[0] for text in study.verdict().splitlines()] == ["one", "two"]
    with pytest.raises(UserError, match=r"several studies .* give one/random or two/random"):
        study.best("random")
    assert study.best("two/random").path.resolve() == (tmp_path / "two/random/search/000").resolve()


def test_the_short_table_names_arms_as_they_are_called_and_is_the_file_beside_the_others(tmp_path):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=1, seeds=2)
    both, one = hs.load(tmp_path / "one", tmp_path / "two"), hs.load(tmp_path / "one")
    assert one.short["arm"].tolist() == ["random", "pretrained"] and one.short.shape[1] == 10
    assert both.short["arm"].tolist() == ["one/random", "one/pretrained", "two/random", "two/pretrained"]
    assert both.best(both.short["arm"].iloc[2]).path.resolve() == (tmp_path / "two/random/search/000").resolve()
    assert one.short["test_accuracy_percent"].tolist() == one.arms["test_mean"].tolist()
    paths = write_tables([tmp_path / "one"]), write_tables([tmp_path / "one", tmp_path / "two"])
    for found, written in zip((one, both), paths, strict=True):
        assert_frame_equal(read_table(next(p for p in written if p.stem == "arms_short")), found.short)
    assert hs.load(tmp_path / "comparison").short.equals(both.short)


def test_a_study_that_is_given_twice_is_refused(tmp_path, monkeypatch):
    make_study(tmp_path / "one", trials=1, seeds=0)
    (tmp_path / "link").symlink_to("one")
    monkeypatch.chdir(tmp_path)
    for other in ("one", "one/", "link", str(tmp_path / "one")):
        with pytest.raises(UserError, match=f"one is the same folder as {other.rstrip('/')}, so its runs would count"):
            hs.load("one", other)
    with pytest.raises(UserError, match=r"one is inside \., so its runs"):
        hs.load(".", "one")
    with pytest.raises(UserError, match="so its runs would count twice"):
        report([tmp_path / "one", tmp_path / "link"])
    assert not (tmp_path / "comparison").exists()


def test_best_is_the_trial_that_the_table_of_arms_names(tmp_path):
    study = hs.load(make_study(tmp_path / "tiny"))
    assert study.best("pretrained") == (tmp_path / "tiny/pretrained/search/002", {"lr": 0.001})
    assert type(study.best("random").params["lr"]) is float
    assert "pretrained is better than random" in study.verdict()
    with pytest.raises(UserError, match=r"no arm 'prtrained' .*its arms: random, pretrained"):
        study.best("prtrained")


def test_best_of_single_runs_is_the_one_with_the_highest_validation_accuracy(tmp_path):
    for number, score in enumerate([50.0, 70.0, 60.0]):
        make_run(
            tmp_path, f"run{number}", arm="cnn", phase="run", seed=number, lr=0.1, state="COMPLETE", val_accuracy=score
        )
    assert hs.load(tmp_path).best("cnn") == (tmp_path / "run1", {})


def test_what_study_json_says_is_there_with_types(tmp_path):
    root = make_study(tmp_path / "one", trials=2, seeds=3, question="Which rate?", name="one")
    file = hs.load(root).study_file
    assert (file.name, file.n_trials, file.confirm_seeds, file.seed) == ("one", 2, 3, 0)
    assert file.arm_order == ("random", "pretrained") and set(file.spaces) == {"random", "pretrained"}
    (root / "study.json").write_text("{")
    assert hs.load(root).study_file == StudyFile() and hs.load(root).study == {}


def test_of_several_studies_the_question_that_they_share_is_known(tmp_path):
    for name, asked in (("one", "Which rate?"), ("two", "Which rate?"), ("three", "Which size?")):
        make_study(tmp_path / name, name=name, trials=1, seeds=1, question=asked)
    assert hs.load(tmp_path / "one", tmp_path / "two").study_file == StudyFile(question="Which rate?")
    assert hs.load(tmp_path / "one", tmp_path / "three").study_file == StudyFile()


def test_what_several_studies_say_alike_is_said_once_with_its_kind(tmp_path):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=3, seeds=2)
    (tmp_path / "two/random/search/000/result.json").unlink()
    study = hs.load(tmp_path / "one", tmp_path / "two")
    reads = [str(caveat) for caveat in study.caveats if caveat.kind is CaveatKind.TEST_READS]
    assert reads == ["each of the 2 studies: The test split was read 4 times: 4 by confirmations."]
    (unfinished,) = (str(caveat) for caveat in study.caveats if caveat.kind is CaveatKind.UNFINISHED)
    assert unfinished.startswith("two: The study is unfinished: 5 of 6 search trials")


def test_arms_of_several_studies_are_called_by_their_study_too(tmp_path):
    for name in ("one", "two"):
        make_study(tmp_path / name, name=name, trials=1, seeds=2)
    alone, both = hs.load(tmp_path / "one"), hs.load(tmp_path / "one", tmp_path / "two")
    assert told_apart(alone)["arms"]["arm"].tolist() == ["random", "pretrained"]
    assert told_apart(both)["pairs"]["arm_a"].tolist() == ["one/random", "two/random"]
