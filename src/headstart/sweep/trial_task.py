"""The task function as a job of a study runs it, in whatever process the launcher chose."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from headstart.config import frozen_epochs, key_of
from headstart.errors import OutsideFault, summary
from headstart.store import AT_WORK, WITHOUT_LOCKS, holding_lock, set_aside
from headstart.sweep.cluster import ending_with_an_epoch
from headstart.sweep.leases import Hold, LostClaim, claims_of
from headstart.sweep.pruners import make_pruner
from headstart.sweep.recovery import explained_faults, outside_fault
from headstart.sweep.settings import plain, pruner_of
from headstart.sweep.trial import OWNER, Reporter, record_failure, trials_behind
from headstart.training import trial_context

log = logging.getLogger(__name__)


class TrainingReporter(Reporter):
    """A reporter that says whose fault it is when the study's database fails: training would take it for the run's."""

    def guesses_up_to(self, accuracy: float) -> None:
        """As Reporter has it. Raises OutsideFault."""
        with explained_faults():
            super().guesses_up_to(accuracy)

    def report(self, value: float, step: int) -> str | None:
        """As Reporter has it. Raises OutsideFault."""
        with explained_faults():
            return super().report(value, step)


class TrialTask:
    """A picklable task that tells the study its own outcome, so that nothing depends on the sweeper's life.

    owner: the process that claimed the run. A job that waited in a queue while that process died, and whose run was
    handed out again since, does nothing. One that a cluster starts a second time, as it lost sight of a node on which
    the first still trains, waits for the end of that and goes on from what it left.
    """

    def __init__(self, task: TaskFunction, owner: str):
        self.task, self.owner = task, owner

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job of the study: search trials report and tell, confirmations only know their trial."""
        run_dir, study_folder = Path(HydraConfig.get().runtime.output_dir), Path(HydraConfig.get().sweep.dir)
        if not (run_dir / OWNER).exists() and not (study_folder / "study.json").exists():
            raise OutsideFault(
                f"{study_folder.absolute()} as {socket.gethostname()} sees it is not the study's folder.\n"
                "Jobs on other machines have to find it at the same path: share it, and where they start elsewhere "
                "give hydra.sweep.dir= an absolute one."
            )
        sweeper = HydraConfig.get().sweeper  # the storage's URL is the job's own: pickled it could leak a password
        hold = claims_of(cfg.name, study_folder, sweeper.storage, sweeper.lease_seconds).adopt(run_dir, self.owner)
        with (
            _until_its_end(hold),
            ending_with_an_epoch(),
            _alone(run_dir),
        ):  # a cluster's signal is no failure of the run
            try:
                trial_context.study_folder, trial_context.claim = study_folder, hold
                with hold.acting():
                    return self.task(cfg) if cfg.phase == "source" else self._in_trial(cfg, run_dir, hold)
            except LostClaim:
                if hold.is_taken_elsewhere():  # else the folder is its new holder's
                    set_aside(run_dir / "result.json", "fenced")
                raise
            except Exception as error:
                if not outside_fault(error):
                    record_failure(run_dir, summary(error), _facts(cfg, run_dir))  # where nothing below could
                raise
            finally:
                trial_context.trial = trial_context.study_folder = trial_context.claim = None

    def _in_trial(self, cfg: DictConfig, run_dir: Path, hold: Hold) -> Any:
        sweeper, number = HydraConfig.get().sweeper, HydraConfig.get().job.num
        study, pruner = f"{cfg.name}/{cfg.arm}", make_pruner(pruner_of(plain(sweeper.pruner), cfg))
        own = dict(reports=cfg.phase == "search", frozen=frozen_epochs(cfg))
        reporter = TrainingReporter(study, sweeper.storage, number, pruner, **own)
        if cfg.phase == "confirm" and (behind := trials_behind(run_dir)) is not None:
            settings = {key: OmegaConf.select(cfg, key_of(key)) for key in reporter.facts["params"]}
            reporter.facts |= dict(params=settings, search_trials=behind)
        trial_context.trial = reporter
        try:
            returned = self.task(cfg)
        except Exception as error:
            if not outside_fault(error):  # else it is claimed again, and the sweeper ends here
                record_failure(run_dir, summary(error), _facts(cfg, run_dir))
                with hold.ending():
                    reporter.tell_failed(error)
            raise
        with hold.ending():
            reporter.tell(run_dir, returned)
        return returned


@contextmanager
def _until_its_end(hold: Hold) -> Iterator[None]:
    try:
        yield
    finally:
        hold.release()


@contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Wait for the end of another job of this run; where files have no locks, its lease alone keeps others away."""
    with ExitStack() as held:
        try:
            held.enter_context(holding_lock(run_dir / AT_WORK, waiting=_say_that_it_waits))
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield


def _say_that_it_waits() -> None:
    log.info("another job is at work on this run; this one waits for its end")


def _facts(cfg: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Where a run belongs in the tables, even one that came to nothing."""
    facts = dict(study=cfg.name, arm=cfg.arm, phase=cfg.phase, seed=cfg.seed, number=HydraConfig.get().job.num)
    facts |= dict(search_trials=trials_behind(run_dir)) if cfg.phase == "confirm" else {}
    return facts | trial_context.facts()
