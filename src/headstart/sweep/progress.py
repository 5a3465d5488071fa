"""What a person sees of a sweep: the plan, one status line while it runs, the end."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optuna.pruners import NopPruner
from optuna.trial import TrialState
from rich.console import Console
from rich.live import Live
from rich.text import Text

from headstart.errors import listed
from headstart.sweep.study_state import StudyState
from headstart.sweep.trial import has_begun, is_paused, number_of
from headstart.timing import Pace, Work, by_the_clock, seconds_of, seconds_once
from headstart.training import clock

if TYPE_CHECKING:
    from headstart.sweep.leases import LostClaim
    from headstart.sweep.plan import Plan
    from headstart.sweep.scheduler import Claim

SECONDS_BETWEEN_LINES = 20  # where the status can't be redrawn in place


class SweepStatus:
    """Plan and status line of a study, on stderr; nothing at all in a worker that another process reports for."""

    def __init__(self, state: StudyState, jobs: int, quiet: bool):
        self.state, self.jobs, self.quiet = state, jobs, quiet
        self.console = Console(stderr=True)
        self.live: Live | None = None
        self.printed = time.monotonic()
        self.seconds: dict[tuple[str, str], list[float]] = {}  # what this process's runs took, by arm and kind
        self.started: dict[Path, float] = {}

    def print_plan(self, plan: "Plan", disagreements: Sequence[str] = ()) -> None:
        """Say what will be done before it starts: arms, trials, epochs, seeds, device, and what exists already.

        disagreements: lines on what exists and cannot be trusted.
        """
        if self.quiet:
            return
        state, cfg, question = self.state, plan.config, plan.question()
        ended, total = self.counts()
        trials, length = _trials(state), _length(plan.epochs())
        threads = f"{cfg.threads or 'their share of'} {'thread' if cfg.threads == 1 else 'threads'}"
        lines = [question] if question else []
        lines += [
            f"study {state.name}: {plural(len(state.arms), 'arm')} ({', '.join(a.name for a in state.arms)})",
            f"  {trials} an arm of {length}, then {_confirmed(state, plan.folds())}; "
            f"{ended} of {_runs(state, total)} exist",
            *_halved(state),
            f"  device {cfg.device}, precision {cfg.precision}, {plural(self.jobs, 'job')} with {threads}; "
            f"writes {state.folder}",
        ]
        lines += [f"  {note}" for note in [*plan.notes(), *disagreements]]
        print("\n".join(lines), file=sys.stderr, flush=True)

    def print_time(self, paces: Mapping[str, Pace | None]) -> None:
        """Say what the arms will take. paces: of one run, by whose it is; those who have ended have none."""
        with self.state.snapshot():
            for line in _time(self.state, self._ended(), paces, self.jobs):
                print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> "SweepStatus":
        if self.console.is_terminal and not self.quiet:
            self.live = Live(
                console=self.console, get_renderable=lambda: Text(self.line()), refresh_per_second=1, transient=True
            )
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def begin(self, claim: "Claim") -> None:
        """A run starts."""
        self.started[claim.run_dir] = time.monotonic()

    def end(self, claim: "Claim", state: str) -> None:
        """A run ended."""
        seconds = time.monotonic() - self.started.pop(claim.run_dir)
        if claim.kind != "source":  # runs once and unlike the others: no measure for what is left
            self.seconds.setdefault((claim.arm, claim.kind), []).append(seconds)
        self.show()

    def lose(self, lost: "LostClaim") -> None:
        """Others took a claim over; a worker says it too, in its log."""
        print(f"headstart: {lost}", file=sys.stderr, flush=True)

    def show(self) -> None:
        """Print the status line where it can't be redrawn, now and then."""
        now = time.monotonic()
        if not self.quiet and self.live is None and now - self.printed > SECONDS_BETWEEN_LINES:
            self.printed = now
            print(self.line(), file=sys.stderr, flush=True)

    def counts(self) -> tuple[int, int]:
        """(runs that ended, runs in all), search trials and confirmations together."""
        with self.state.snapshot():
            return self._ended().total(), self._total()

    def _total(self) -> int:
        return sum(self.state.trials_of(arm) for arm in self.state.studies) + sum(self.state.confirm_seeds.values())

    def _ended(self) -> Counter[tuple[str, str]]:
        """How many runs have ended, or wait for good as far as is known, by arm and kind."""
        ended = Counter((run.arm, "confirm") for run in self.state.confirmations() if run.ended)
        for arm in self.state.arms:
            ended[arm.name, "search"] = self.state.finished(arm.name) - len(self.state.going_on(arm))
        return ended

    def line(self) -> str:
        """done / paused / pruned / failed / left, the best of each arm, and the time left by what runs took so far."""
        state = self.state
        with state.snapshot():
            ended, total = self._ended(), self._total()
            trials = [t for a in state.arms for t in state.trials(a.name)]
            counts = {
                "paused": sum(map(is_paused, trials)),
                "pruned": sum(t.state == TrialState.PRUNED for t in trials),
                "failed": sum(t.state == TrialState.FAIL for t in trials),
            }
            ends = ", ".join(f"{count} {how}" for how, count in counts.items() if count or how != "paused")
            best = [(a.name, state.best(a.name)) for a in state.arms]
            shown = ", ".join(f"{n} {b.value:.2f} % {_params(b.params)}" for n, b in best if b is not None)
            return (
                f"{ended.total()}/{total} runs done, {ends}, "
                f"{max(0, total - ended.total())} left{self._time_left(ended)}; best: {shown or 'none yet'}"
            )

    def _time_left(self, ended: Counter[tuple[str, str]]) -> str:
        """By what the arm's own runs took: a small arm says nothing of a large one, a pruned trial nothing of a run."""
        if not self.seconds:
            return ""
        state, everything = self.state, [s for own in list(self.seconds.values()) for s in own]  # other threads add
        left = 0.0
        for arm in (a.name for a in state.arms):
            search = self.seconds.get((arm, "search"), everything)
            left += fmean(search) * max(0, state.trials_of(arm) - ended[arm, "search"])
            whole = self.seconds.get((arm, "confirm"), [max(search)])
            left += fmean(whole) * max(0, state.confirm_seeds[arm] - ended[arm, "confirm"])
        return ", about " + clock(left / self.jobs) if left else ""


def arm_without_runs(state: StudyState) -> str:
    """An error where some arm has nothing but failed trials, else ""."""
    tried = [list(filter(has_begun, state.trials(a.name))) for a in state.arms]
    if any(all(t.state == TrialState.FAIL for t in trials) for trials in tried):
        return "an arm has no trial that ran; mend the cause and add hydra.sweeper.retry_failed=true"
    return ""


def failed_arms(state: StudyState) -> list[str]:
    """A line for every arm with failed trials: they are results, but nobody should overlook them."""
    lines = []
    for arm in (a.name for a in state.arms):
        failed = [t for t in state.trials(arm) if t.state == TrialState.FAIL]
        if failed:
            reason, log = failed[-1].user_attrs.get("reason"), state.run_dir(arm, number_of(failed[-1])) / "log"
            lines.append(f"arm {arm}: {plural(len(failed), 'trial')} failed, the last with: {reason} ({log})")
    return lines


def plural(number: int, noun: str) -> str:
    """`1 arm`, `2 arms`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _trials(state: StudyState) -> str:
    numbers = {state.trials_of(arm.name) for arm in state.arms}
    return plural(max(numbers), "trial") if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)} trials"


def _halved(state: StudyState) -> list[str]:
    """What pausing trials leaves of their epochs, on average; [] where none are paused."""
    arms = [(arm, halving, state.trials_of(arm.name)) for arm in state.arms if (halving := state.halving(arm))]
    every = sum(trials * arm.epochs for arm, _, trials in arms)
    after = dict.fromkeys(epoch for arm, *_ in arms for epoch in arm.rungs[:-1])
    if not after:
        return []
    spent = sum(trials * arm.epochs * halving.expected_share(trials, arm.rungs) for arm, halving, trials in arms)
    epochs = f"{listed(map(str, sorted(after)))} epoch{'' if after.keys() == {1} else 's'}"
    share = f"about {spent:.0f} of {every} epochs of all trials, more where they guess"
    return [f"  compared after {epochs}, the best go on: {share}"]


def _time(state: StudyState, ended: Counter[tuple[str, str]], paces: Mapping[str, Pace | None], jobs: int) -> list[str]:
    """Lines on the seconds that are left for every arm, and in all."""
    known = {whose.removeprefix("arm "): pace for whose, pace in paces.items() if pace is not None}
    seconds, unknown = {"source": (known["source"].whole, 0.0)} if "source" in known else {}, []
    for arm in state.arms:
        halving, trials = state.halving(arm), state.trials_of(arm.name)
        share = halving.expected_share(trials, arm.rungs) if halving else 1.0
        searches = max(0, trials - ended[arm.name, "search"])
        confirmations = max(0, state.confirm_seeds[arm.name] - ended[arm.name, "confirm"])
        if arm.name in known:
            left = known[arm.name], Work(searches, share, confirmations)
            seconds[arm.name] = seconds_of(*left), seconds_once(*left)
        elif searches or confirmations:
            unknown.append(arm.name)
    if not seconds:
        return []
    each = ": " + ", ".join(f"{name} {clock(own)}" for name, (own, _) in seconds.items()) if len(state.arms) > 1 else ""
    more = f"; not counted: {', '.join(unknown)}" if unknown else ""  # fitted in one go, or from the source's weights
    stops = not isinstance(state.pruner, NopPruner) and not any(map(state.halving, state.arms))
    most = ", less what the pruner stops" if stops else ""
    source, _ = seconds.pop("source", (0.0, 0.0))  # which no arm begins before
    took = clock(source + by_the_clock(list(seconds.values()), jobs))
    return [f"  about {took} by a few steps timed now{most}{each}{more}"]


def _confirmed(state: StudyState, folds: Mapping[str, int]) -> str:
    fewest, most = state.looks[0], state.looks[-1]
    seeds = plural(most, "seed") if most == fewest else f"{fewest} to {most} seeds"
    more = ", more while a pair of arms is undecided" if most > fewest else ""
    what = "each arm's best with" if state.confirm == "best" else "each arm's choice, repeated with"
    return f"{what} {seeds}{_over(folds)}{more}"


def _over(folds: Mapping[str, int]) -> str:
    """Over how many folds, given by arm."""
    fewest, most = (end(folds.values(), default=0) for end in (min, max))
    return f" over {plural(most, 'fold') if fewest == most else f'{fewest} to {most} folds'}" if folds else ""


def _runs(state: StudyState, total: int) -> str:
    further = len(state.arms) * state.looks[-1] - sum(state.confirm_seeds.values())
    return f"{total} to {total + further} runs" if further else plural(total, "run")


def _length(epochs: set[int]) -> str:
    """How long a trial is; most often all arms have the same number of epochs."""
    if not epochs:
        return "one fit each"
    return ("up to " if len(epochs) == 1 else f"{min(epochs)} to ") + plural(max(epochs), "epoch")


def _params(params: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items()) + ")"
