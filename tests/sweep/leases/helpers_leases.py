"""What tests of leases do to claims in their own process."""

import time

from sweep.helpers_sweep import finish

SECONDS = 1.0  # of a lease


def silent(claim) -> None:
    """Have the claim's holder be heard of no more, as if its process was stopped or cut off."""
    hold = claim.hold
    hold._book.server.heartbeat.remove(hold._renew)
    hold._lock.release()
    time.sleep(1.2 * SECONDS)


def ended(scheduler, claim, **result) -> str:
    """The claim's job and sweeper, to their end; the state that the study has of the run."""
    with claim.hold.acting():
        finish(scheduler, claim, told=False, **result)
    state = scheduler.tell(claim)
    claim.release()
    return state
