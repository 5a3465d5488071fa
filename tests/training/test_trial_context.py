"""What a run is told by the study that it belongs to, and by whoever stops its process."""

import subprocess
import sys

import pytest

from headstart.errors import OutsideFault
from headstart.training import trial_context


class Pruning:
    """A trial that is pruned from a step on."""

    def __init__(self, step: int):
        self.step, self.reported = step, []
        self.facts = dict(number=3, params_lr=0.1)

    def guesses_up_to(self, accuracy: float) -> None:
        self.reported.append((accuracy, 0))

    def report(self, value: float, step: int) -> str | None:
        self.reported.append((value, step))
        return "pruned" if step >= self.step else None

    def pauses_after(self, epoch: int) -> bool:
        return epoch == self.step


def test_outside_a_study_nothing_is_pruned_and_nothing_is_known():
    assert trial_context.trial is None
    assert trial_context.report(50.0, 1) is None
    assert trial_context.facts() == {} and not trial_context.pauses_after(1)


def test_a_trial_hears_every_epoch_and_says_when_to_end(monkeypatch):
    trial = Pruning(2)
    monkeypatch.setattr(trial_context, "trial", trial)
    assert [trial_context.report(10.0 * epoch, epoch) for epoch in (1, 2)] == [None, "pruned"]
    assert trial.reported == [(10.0, 1), (20.0, 2)]
    assert trial_context.facts() == trial.facts
    assert [trial_context.pauses_after(epoch) for epoch in (1, 2)] == [False, True]


def test_a_trial_hears_how_much_is_guessing_and_outside_a_study_nobody_does(monkeypatch):
    trial = Pruning(2)
    trial_context.guesses_up_to(14.0)
    monkeypatch.setattr(trial_context, "trial", trial)
    trial_context.guesses_up_to(15.0)
    assert trial.reported == [(15.0, 0)]


def test_a_process_that_was_told_to_stop_ends_before_its_trial_hears_more(monkeypatch):
    trial = Pruning(1)
    monkeypatch.setattr(trial_context, "trial", trial)
    monkeypatch.setattr(trial_context, "stop", 143)
    with pytest.raises(SystemExit) as end:
        trial_context.report(50.0, 1)
    assert end.value.code == 143
    assert trial.reported == []


def test_who_is_at_work_says_what_goes_on_with_it_and_still_does_afterwards(monkeypatch):
    for name in ("at_work", "goes_on_by"):
        monkeypatch.setattr(trial_context, name, getattr(trial_context, name))
    with trial_context.working("the same command"):
        with trial_context.working("another"):
            pass
        assert trial_context.at_work
    assert (trial_context.at_work, trial_context.goes_on_by) == (False, "another")


def test_the_context_and_a_clock_come_without_torch():
    script = (
        "import sys\nfrom headstart.training import Lines, clock, trial_context\n"
        "print([m for m in ('torch', 'numpy', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_who_has_lost_its_claim_neither_writes_nor_reports(monkeypatch):
    trial_context.may_write()  # nobody else may have the run

    class Lost:
        def check(self) -> None:
            raise OutsideFault("others work there")

    trial = Pruning(9)
    monkeypatch.setattr(trial_context, "trial", trial)
    monkeypatch.setattr(trial_context, "claim", Lost())
    for write in (trial_context.may_write, lambda: trial_context.report(50.0, 1)):
        with pytest.raises(OutsideFault, match="others work there"):
            write()
    assert trial.reported == []
