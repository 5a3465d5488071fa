"""Weights & Biases, offline: a folder for each run, which `wandb sync` can bring to a server."""

import os
import shlex
import shutil
from pathlib import Path

from headstart.export.records import RunRecord
from headstart.store import write_atomically

DIGEST = "headstart.digest"
QUIET = dict(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false", WANDB_DISABLE_GIT="true")


def open_store(folder: Path) -> "WandbOffline":
    """The store in a folder."""
    os.environ.update(QUIET)
    return WandbOffline(folder)


class WandbOffline:
    """`wandb/offline-run-...` in the folder given; a study is a project, an arm a group."""

    def __init__(self, folder: Path):
        import wandb  # noqa: F401 - for who lacks it

        self._folder = folder
        self.opened_by = f"wandb sync {shlex.quote(str(folder / 'wandb'))}/offline-run-*, which brings them to a server"

    def digest_of(self, run: RunRecord) -> str | None:
        """The digest of the run as it is there; "" where it is there in part; None where it isn't."""
        for place in self._places(run):
            return (place / DIGEST).read_text() if (place / DIGEST).exists() else ""
        return None

    def remove(self, run: RunRecord) -> None:
        """Remove the run that is there."""
        for place in self._places(run):
            shutil.rmtree(place)

    def write(self, run: RunRecord) -> None:
        """Write the run, its digest last."""
        import wandb

        settings = wandb.Settings(
            mode="offline", silent=True, console="off", save_code=False, disable_git=True, x_disable_stats=True,
            x_disable_meta=True,
        )  # fmt: skip
        labels = [f"{name}:{run.tags[name]}"[:64] for name in ("arm", "phase", "seed", "state") if name in run.tags]
        about = dict(project=run.study, name=run.name, group=run.tags.get("arm"), job_type=run.tags.get("phase"))
        config = run.parameters | {"headstart": run.tags}
        with wandb.init(
            dir=self._folder, id=run.identity, tags=labels, config=config, settings=settings, **about
        ) as written:
            for epoch, metrics in run.epochs:
                written.log(metrics, step=epoch)
            written.summary.update(run.metrics)
        for place in self._places(run):
            write_atomically(place / DIGEST, run.digest.encode())

    def _places(self, run: RunRecord) -> list[Path]:
        return sorted((self._folder / "wandb").glob(f"offline-run-*-{run.identity}"))
