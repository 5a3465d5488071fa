"""Every cell of a run's row is a parameter, a tag or a metric, and a run that goes on has another digest."""

from helpers_runs import make_run, make_study

import headstart as hs
from headstart.export.records import PARAMETERS, TAGS, run_records


def test_every_value_of_a_run_is_a_parameter_a_tag_or_a_metric(tmp_path):
    study = hs.load(make_study(tmp_path / "tiny", trials=3, seeds=1))
    records = run_records(study)
    assert [record.name for record in records] == study.trials["run_dir"].tolist()
    for record, (_, row) in zip(records, study.trials.iterrows(), strict=True):
        known = {name for name in row.index[row.notna()] if not name.startswith("params_")}
        assert known == set(record.parameters) | set(record.tags) | set(record.metrics)
        assert record.metrics["val_accuracy"] == row["val_accuracy"] and record.parameters["lr"] == row["lr"]
        assert record.tags["seed"] == str(row["seed"]) and record.tags["reached_70"] == "yes"
        own = study.epochs[study.epochs["run_dir"] == record.name]
        assert [epoch for epoch, _ in record.epochs] == own["epoch"].tolist()
        assert [metrics["epoch/val_accuracy"] for _, metrics in record.epochs] == own["val_accuracy"].tolist()
        assert record.study == "tiny" and record.last_epoch == 3 and 0 < record.began <= record.ended
    assert set(TAGS) & set(PARAMETERS) == {"seed", "fold"}
    assert len({record.identity for record in records}) == len(records)


def test_what_was_swept_keeps_its_name_and_a_single_run_its_folders(tmp_path):
    make_run(tmp_path, "svm", arm="svm", study=None, phase="run", seed=0, params={"model.C": 0.5}, state="COMPLETE")
    (record,) = run_records(hs.load(tmp_path))
    assert record.parameters["model.C"] == 0.5 and (record.study, record.name) == ("runs", "svm")
    (record,) = run_records(hs.load(tmp_path / "svm"))
    assert record.name == "svm"


def test_a_study_is_the_same_runs_alone_and_beside_another(tmp_path):
    one, other = (make_study(tmp_path / name, trials=1, seeds=1, name=name) for name in ("one", "other"))
    make_run(one, "source", arm="source", study="one", phase="source", seed=0, state="COMPLETE")
    alone = {record.key for record in run_records(hs.load(one))}
    assert "one/random/search/000" in alone and "one/random/confirm/002/seed-1" in alone and "one/source" in alone
    both = {record.key for record in run_records(hs.load(one, other))}
    assert alone < both and len(both) == 2 * len(alone) - 1


def test_studies_side_by_side_are_told_apart_and_no_name_leads_out_of_a_folder(tmp_path):
    for place in ("one", "copy"):
        make_study(tmp_path / place, trials=1, seeds=0)
    records = run_records(hs.load(tmp_path / "one", tmp_path / "copy"))
    assert len({record.key for record in records}) == 4
    assert not any("/" in record.study or ".." in record.name or record.study[0] == "." for record in records)


def test_a_run_that_goes_on_has_the_same_key_and_another_digest(tmp_path):
    make_run(tmp_path, "a", arm="cnn", phase="run", seed=0, accuracies=(40.0,))
    (before,) = run_records(hs.load(tmp_path))
    (again,) = run_records(hs.load(tmp_path))
    (tmp_path / "a/epochs.csv").unlink()
    make_run(tmp_path / "new", "a", arm="cnn", phase="run", seed=0, accuracies=(40.0, 50.0))
    (tmp_path / "new/a/epochs.csv").rename(tmp_path / "a/epochs.csv")
    (after,) = (record for record in run_records(hs.load(tmp_path)) if record.name == "a")
    assert before.key == after.key and before.digest == again.digest != after.digest
