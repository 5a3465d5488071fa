"""One configured run from start to record: trained, evaluated, and what stays of it on disk."""

import io
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.config import RunConfig
from headstart.data import (
    CORRUPTIONS,
    STRENGTHS,
    Dataset,
    Split,
    choose_thumbnails,
    corrupted,
    describe_data,
    sample_sheet,
    shrink,
)
from headstart.errors import GaveOut, OutsideFault, UserError, first_line, machine_fault, summary
from headstart.store import (
    AT_CHANCE,
    OUTCOMES,
    PREDICTIONS,
    changes_since,
    discard,
    is_damaged,
    keep_data_record,
    keep_listing,
    lock_run,
    read_facts,
    read_run,
    record_path,
    set_aside,
    sha256_of,
    write_atomically,
    write_record,
)
from headstart.training import trial_context
from headstart.training.metrics import at_chance, chance_in_words, classification_metrics, limit_of_chance
from headstart.training.prepare import prepare_run
from headstart.training.run_facts import latency_facts, network_words, planned_facts, run_facts, size_facts
from headstart.training.settings import Outcome, Trainer, Watcher

log = logging.getLogger(__name__)

LEFT = ("epochs.csv", PREDICTIONS)  # files that a result vouches for; for best.safetensors best_sha256 does
THUMBNAILS = 24  # most confidently wrong test images that a run stores a small copy of
WORSE_AT_A_TIME = 2_000  # test pictures, so that a copy of large ones fits into memory
SCORES = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")


def train_run(run_config: RunConfig, run_dir: Path, *, reads_test: bool, watcher: Watcher) -> dict[str, Any]:
    """Train, evaluate and record the run in `run_dir`; return its result as written there.

    reads_test: whether this run may read the test split, once, at its end.
    A run folder that holds a finished result is returned as it is; one with a checkpoint goes on from it.
    Raises UserError for what the user can mend; a failure leaves result.json with state FAILED, but in a study where
    it came from outside of the run (OutsideFault).
    """
    ended = read_run(run_dir)
    if ended["state"] in OUTCOMES:
        return ended
    if is_damaged(run_dir):
        log.warning("%s: %s; the run begins anew", run_dir, ended["reason"])
        discard(run_dir)
    set_aside(run_dir / "result.json")
    with lock_run(run_dir, needed=trial_context.claim is None) or nullcontext():
        try:
            trainer = prepare_run(run_config, run_dir, watcher)
            facts = _begin(run_config, trainer)
            kept = dict(keeps=run_config.keeps, network=network_words(run_config))
            worse = run_config.values.corruptions
            return _conclude(facts, trainer, trainer.run(), reads_test=reads_test, worse=worse, **kept)
        except Exception as error:
            fault = gave_out(error) or machine_fault(error)
            if trial_context.study_folder is None or not isinstance(fault or error, OutsideFault):
                _record_failure(run_config, run_dir, summary(fault or error))
            if fault is None or fault is error:
                raise
            raise fault from error


def gave_out(error: Exception) -> GaveOut | None:
    """What to tell of an error that means no memory, on a GPU or here, or a lost GPU; None for any other."""
    if isinstance(error, torch.OutOfMemoryError):
        return GaveOut("out of GPU memory; give a smaller batch_size or image_size")
    if isinstance(error, torch.AcceleratorError):
        return GaveOut(f"the GPU gave out ({first_line(error)[:200]}); see whether the driver still has it")
    _, of_torch, text = first_line(error).rpartition("DefaultCPUAllocator: ")  # a plain RuntimeError
    if isinstance(error, MemoryError) or of_torch:
        return GaveOut(f"out of memory ({text}); give a smaller image_size, batch_size or data.train_size")
    return None


def _record_failure(run_config: RunConfig, run_dir: Path, reason: str) -> None:
    """Write a FAILED result that belongs to its arm in the tables, even where the run came to nothing."""
    facts = planned_facts(run_config) | read_run(run_dir)  # of which run.json may be damaged
    write_record(run_dir / "result.json", facts | dict(state="FAILED", reason=reason), LEFT)


def _begin(run_config: RunConfig, trainer: Trainer) -> dict[str, Any]:
    """Record and return what is known of a run before it trains, and say what has no effect on it."""
    before = read_facts(trainer.run_dir)
    facts = run_facts(run_config, trainer) | dict(test_reads=before.get("test_reads") or 0)
    shared = trial_context.study_folder or trainer.run_dir
    refuse_other_files(before, trainer, str(trainer.run_dir), shared)
    if trainer.data.files is not None:
        keep_listing(shared, trainer.data.files)
    _keep_record(shared, trainer.data)
    trial_context.guesses_up_to(limit_of_chance(trainer.data.val.labels.numpy(), len(trainer.data.classes)))
    write_record(trainer.run_dir / "run.json", facts)
    if idle := run_config.set_without_effect():
        model = run_config.choices["model"]
        log.info("without effect on model=%s, which is fitted in one go: %s", model, ", ".join(idle))
    for line in trainer.model.report:
        log.info("%s", line)
    return facts


def _keep_record(folder: Path, data: Dataset) -> None:
    """Leave what a report says of the data set, once, so that it can be made without the pictures."""
    if not record_path(folder, data.sha256).exists():
        keep_data_record(folder, data.sha256, describe_data(data), sample_sheet(data))


def refuse_other_files(before: Mapping[str, Any], trainer: Trainer, what: str, folder: Path) -> None:
    """Refuse to go on with other pictures or weights than those that `what` began with.

    before: the record of a run; what isn't known in it is not compared. folder: where the files of the data set are
    listed that were there then. Raises UserError.
    """
    data = trainer.data
    now = trainer.facts() | dict(data_sha256=data.sha256, data_test_sha256=data.test_sha256)
    now |= dict(train_size=len(data.train.labels), val_size=len(data.val.labels))
    kinds = dict(data_sha256="pictures", data_test_sha256="test pictures", weights_sha256="weights")
    for key, files in kinds.items():
        if before.get(key) not in (None, now.get(key)):
            changed = [k for k in (key, "train_size", "val_size") if before.get(k) not in (None, now.get(k))]
            said = "; ".join(f"{k} was {str(before[k])[:12]}, now {str(now.get(k))[:12]}" for k in changed)
            counted = _changes_of_files(before, data, folder) if "pictures" in files else ""
            raise UserError(
                f"{what} began with other {files} ({said}){counted}; put them back, or start anew by another name="
            )


def _changes_of_files(before: Mapping[str, Any], data: Dataset, folder: Path) -> str:
    """ ": 3 added, 1 gone, 2 changed of 60 files (...)"; "" where nobody knows which files there were."""
    found = None if data.files is None else changes_since(folder, before.get("data_files"), data.files)
    return f": {found}" if found else ""


def _conclude(
    facts: dict[str, Any],
    trainer: Trainer,
    outcome: Outcome,
    *,
    reads_test: bool,
    worse: bool,
    keeps: Callable[[str], bool],
    network: str,
) -> dict[str, Any]:
    """Evaluate the model, a network as of its best epoch, write what stays, and result.json last.

    worse: whether the test pictures are answered under corruptions, too. keeps: whether weights and predictions stay of
    a run of that state. network: see `network_words`.
    """
    data, run_dir, predictions = trainer.data, trainer.run_dir, {}
    result = facts | _columns_of(outcome, trainer) | size_facts(trainer)
    if outcome.val_accuracy is not None:
        judged = outcome.val_accuracy, data.val.labels.numpy(), len(data.classes)
        guesses = at_chance(*judged)
        if guesses and outcome.state == "COMPLETE":
            result.update(state="CHANCE", reason=chance_in_words(*judged))
        elif guesses and outcome.paused:
            result.update(reason=f"{outcome.reason}, {AT_CHANCE}")
        if reads_test and outcome.state == "COMPLETE":
            trial_context.may_write()
            took = latency_facts(trainer)  # first, as whoever is stopped meanwhile has read no test split
            found, of_test = _read_test_split(trainer, facts, worse)
            result, predictions = result | took | found, of_test
        if keeps(result["state"]):
            predictions |= _predictions(trainer, data.val, "val")
            result |= _keep_best(trainer, dict(architecture=facts["model"], network=network), predictions)
    result |= trainer.further_columns()
    trial_context.may_write()
    write_record(run_dir / "result.json", result, LEFT)
    for left in run_dir.glob("last.ckpt.previous" if outcome.paused else "last.ckpt*"):
        left.unlink()
    return result


def _columns_of(outcome: Outcome, trainer: Trainer) -> dict[str, Any]:
    """How training ended as columns of trials.csv; an estimator's parameters are known only now."""
    counts = {k: v for k, v in trainer.facts().items() if k.startswith("parameters")}
    copied = ("state", "reason", "epochs_run", "best_epoch", "val_accuracy", "val_loss", "seconds_train")
    images, seconds = outcome.images, outcome.seconds_train
    speed = images / seconds if images is not None and seconds else None
    return counts | outcome.columns | {k: getattr(outcome, k) for k in copied} | dict(images_per_second=speed)


def _read_test_split(
    trainer: Trainer, facts: dict[str, Any], worse: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the test split and count the reading; return columns of trials.csv, and predictions to keep."""
    reads = facts["test_reads"] + 1
    write_record(trainer.run_dir / "run.json", facts | dict(test_reads=reads))  # it counts whatever happens next
    test = trainer.data.test()
    found = _predictions(trainer, test, "test")
    scores = classification_metrics(found["test_labels"], found["test_probabilities"], trainer.data.classes)
    columns = {f"test_{name}": scores[name] for name in SCORES}
    columns |= dict(test_reads=reads, per_class=scores["per_class"], confusion=scores["confusion"])
    if worse:
        columns |= _under_corruptions(trainer, test)
    return columns, found | _thumbnails(test, found["test_probabilities"])


def _under_corruptions(trainer: Trainer, test: Split) -> dict[str, Any]:
    """Accuracy on the same test pictures made worse, in the same reading: by kind at each strength, and means.

    Picture n of the test split has noise of seed n, in every run and as `headstart evaluate --corruptions` has it.
    """
    everything = torch.arange(len(test.labels))

    def answered(kind: str, strength: int) -> float:
        right = 0
        for rows in everything.split(WORSE_AT_A_TIME):
            source = torch.from_numpy(corrupted(test.pictures(rows).numpy(), kind, strength, rows.tolist()))
            worse = Split(source, test.labels[rows], torch.arange(len(rows)))
            right += int((trainer.predict(worse)[0].argmax(1) == worse.labels).sum())
        return 100 * right / len(everything)

    found = {kind: [answered(kind, strength) for strength in STRENGTHS] for kind in CORRUPTIONS}
    means = {f"test_{kind}_mean": float(np.mean(own)) for kind, own in found.items()}
    return means | dict(corrupted=found, test_corrupted_mean=float(np.mean(list(found.values()))))


def _predictions(trainer: Trainer, split: Split, part: str) -> dict[str, np.ndarray]:
    probabilities, _ = trainer.predict(split)
    return {
        f"{part}_indices": split.indices.numpy(),
        f"{part}_labels": split.labels.numpy(),
        f"{part}_probabilities": probabilities.numpy(),
    }


def _thumbnails(test: Split, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Small copies of the test images that a report shows, so that it can be made again without the data."""
    shown = choose_thumbnails(test.labels.numpy(), probabilities, THUMBNAILS)
    return dict(thumbnails=shrink(test.pictures(torch.from_numpy(shown)).numpy()), thumbnail_indices=shown)


def _keep_best(trainer: Trainer, called: dict[str, str], predictions: dict[str, np.ndarray]) -> dict[str, str]:
    """Write predictions.npz and, of a model that has such a file, best.safetensors; return that file's sha256."""
    weights, run_dir = trainer.weights_file(**called), trainer.run_dir
    if weights is not None:
        write_atomically(run_dir / "best.safetensors", weights)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, classes=np.array(trainer.data.classes), **predictions)
    write_atomically(run_dir / PREDICTIONS, buffer.getvalue())
    return {} if weights is None else dict(best_sha256=sha256_of(run_dir / "best.safetensors"))
