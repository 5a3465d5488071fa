"""Everything that touches a disk: run folders, locks, caches and where they lie."""
