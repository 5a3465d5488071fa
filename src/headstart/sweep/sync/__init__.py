"""The folder of a study and a store that fsspec reaches, by which folders on several machines come together."""

from headstart.sweep.sync.synced import Synced

__all__ = ["Synced"]
