"""What a person sees of a sweep: the plan, one status line while it runs, the end."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from headstart.training import clock

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from headstart.sweep.scheduler import Claim, Study

SECONDS_BETWEEN_LINES = 20  # where the status can't be redrawn in place


class SweepStatus:
    """Plan, status line and end of a study, on stderr; nothing at all in a worker that another process reports for."""

    def __init__(self, study: "Study", jobs: int, quiet: bool):
        self.study, self.jobs, self.quiet = study, jobs, quiet
        self.console = Console(stderr=True)
        self.live: Live | None = None
        self.printed = self.began = time.monotonic()
        self.seconds: dict[tuple[str, str], list[float]] = {}  # what this process's runs took, by arm and kind
        self.started: dict[Path, float] = {}

    def plan(self, cfg: "DictConfig", epochs: set[int], question: str | None, notes: Sequence[str]) -> None:
        """Say what will be done before it starts: arms, trials, epochs, seeds, device, and what exists already.

        epochs: of the arms; most often all have the same number, and estimators fitted in one go have none.
        """
        if self.quiet:
            return
        study = self.study
        done, total = self.counts()
        names = ", ".join(a.name for a in study.arms)
        length = "one fit each"
        if epochs:
            length = ("up to " if len(epochs) == 1 else f"{min(epochs)} to ") + count(max(epochs), "epoch")
        lines = [question] if question else []
        lines += [
            f"study {study.name}: {count(len(study.arms), 'arm')} ({names})",
            f"  {count(study.total(), 'trial')} an arm of {length}, then each arm's best with "
            f"{count(study.confirm_seeds, 'seed')}; {done} of {count(total, 'run')} exist",
            f"  device {cfg.device}, precision {cfg.precision}, {count(self.jobs, 'job')} with "
            f"{cfg.threads or 'their share of'} {'thread' if cfg.threads == 1 else 'threads'}; writes {study.folder}",
        ]
        print("\n".join([*lines, *(f"  {n}" for n in notes)]), file=sys.stderr, flush=True)

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

    def show(self) -> None:
        """Print the status line where it can't be redrawn, now and then."""
        now = time.monotonic()
        if not self.quiet and self.live is None and now - self.printed > SECONDS_BETWEEN_LINES:
            self.printed = now
            print(self.line(), file=sys.stderr, flush=True)

    def counts(self) -> tuple[int, int]:
        """(runs that ended, runs in all), search trials and confirmations together."""
        with self.study.looking():
            return self._ended().total(), self._total()

    def _total(self) -> int:
        return len(self.study.arms) * (self.study.total() + self.study.confirm_seeds)

    def _ended(self) -> Counter[tuple[str, str]]:
        """How many runs have ended, by arm and kind."""
        study = self.study
        ended = Counter((arm, "confirm") for arm, *_, done in study.confirmations() if done)
        for arm in study.arms:
            ended[arm.name, "search"] = sum(t.state.is_finished() for t in study.trials(arm.name))
        return ended

    def line(self) -> str:
        """done / pruned / failed / left, the best of each arm, and the time left by what runs took so far."""
        study = self.study
        with study.looking():
            ended, total = self._ended(), self._total()
            trials = [t for a in study.arms for t in study.trials(a.name)]
            pruned, failed = (sum(t.state.name == s for t in trials) for s in ("PRUNED", "FAIL"))
            best = [(a.name, study.best(a.name)) for a in study.arms]
            shown = ", ".join(f"{n} {b.value:.2f} % {_params(b.params)}" for n, b in best if b is not None)
            return (
                f"{ended.total()}/{total} runs done, {pruned} pruned, {failed} failed, "
                f"{max(0, total - ended.total())} left{self._time_left(ended)}; best: {shown or 'none yet'}"
            )

    def _time_left(self, ended: Counter[tuple[str, str]]) -> str:
        """By what the arm's own runs took: a small arm says nothing of a large one, a pruned trial nothing of a run."""
        if not self.seconds:
            return ""
        study, everything = self.study, [s for own in list(self.seconds.values()) for s in own]  # other threads add
        left = 0.0
        for arm in (a.name for a in study.arms):
            search = self.seconds.get((arm, "search"), everything)
            left += fmean(search) * max(0, study.total() - ended[arm, "search"])
            whole = self.seconds.get((arm, "confirm"), [max(search)])
            left += fmean(whole) * max(0, study.confirm_seeds - ended[arm, "confirm"])
        return ", about " + clock(left / self.jobs) if left else ""


def count(number: int, what: str) -> str:
    """`1 arm`, `2 arms`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _params(params: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items()) + ")"
