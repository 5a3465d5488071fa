"""A process that works on a made-up study whose claims a server keeps, until nothing is left or it is ended.

Arguments: a folder of its own, the server's URL, the study's name, seconds of a run, seconds of a lease. It prints what
it claims and loses.
"""

import sys
import time
from pathlib import Path

from headstart.sweep.leases import LostClaim
from headstart.sweep.scheduler import WAIT
from sweep.helpers_sweep import finish, open_scheduler

SETTINGS = dict(arms=["a"], n_trials=6, confirm_seeds=2)


def work(place: Path, url: str, name: str, seconds: float, lease: float) -> None:
    """Run what the study hands out."""
    scheduler = open_scheduler(place, url=url, name=name, elsewhere="join", lease_seconds=lease, **SETTINGS)
    while (claim := scheduler.claim()) is not None:
        if claim == WAIT:
            time.sleep(0.05)
            continue
        print("claimed", claim.run_dir.name, flush=True)
        time.sleep(seconds)
        try:
            with claim.hold.acting():
                claim.hold.check()
                finish(scheduler, claim, told=False)
        except LostClaim:
            print("lost", claim.run_dir.name, flush=True)
        else:
            scheduler.tell(claim)
        claim.release()


if __name__ == "__main__":
    work(Path(sys.argv[1]), *sys.argv[2:4], *map(float, sys.argv[4:6]))
