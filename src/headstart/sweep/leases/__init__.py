"""Who may decide what a study does next, and who runs what of it: by `flock`, or by leases in a database server."""

from headstart.sweep.leases.claims import Claims, EndedRun, Hold, LostClaim, claims_of, has_server
from headstart.sweep.leases.folders import admit

__all__ = ["Claims", "EndedRun", "Hold", "LostClaim", "admit", "claims_of", "has_server"]
