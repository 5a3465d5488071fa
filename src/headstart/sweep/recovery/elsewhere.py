"""Runs of a study whose folders lie elsewhere, with a database server: what becomes of them here, and what is said."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from headstart.store import put_aside, read_json, write_json
from headstart.sweep.leases import EndedRun
from headstart.sweep.study_state import StudyState


def put_superseded_aside(state: StudyState, away: Mapping[Path, EndedRun]) -> Iterator[str]:
    """Put aside what lies here of runs that ended elsewhere; yields a line for each.

    They were begun here too, by a process that seemed dead to whoever took them over.
    """
    for run_dir, run in away.items():
        if run_dir.exists() and not state.claims.is_alive(run_dir):
            yield make_way(run_dir, run)


def make_way(run_dir: Path, run: EndedRun) -> str:
    """Put aside what lies here of a run that ended elsewhere; return a line on it."""
    return f"{run_dir}: the study has the result in {run.place}; what lay here is now {put_aside(run_dir).name}"


def record_places(state: StudyState, synced_to: str = "") -> list[str]:
    """Write down for the report where runs lie, if not all of them here; return a line on those that it lacks.

    synced_to: URL of the store from which the others were fetched, as far as they lay there.
    """
    with state.locked():
        ended, away = state.claims.ended(), state.away()
        list(put_superseded_aside(state, away))
        if all(run.is_ours for run in ended.values()):
            return []
        places = {run_dir.relative_to(state.folder).as_posix(): run.place for run_dir, run in ended.items()}
        path = state.folder / "study.json"
        write_json(path, read_json(path) | dict(places=places))
    if not away:
        return []
    found = Counter(run.place for run in away.values())
    where = ", ".join(f"{place} ({count})" for place, count in found.items())
    lacking = f"{len(away)} of {len(ended)} runs lie in other folders of the study and are not in this report: {where};"
    if synced_to:
        return [f"{lacking}\nthey are not whole in {synced_to}: give the same command there, then here once more"]
    copy = f"rsync -a --exclude='/.*' {shlex.quote(next(iter(found)))}/ {shlex.quote(str(state.folder))}/"
    more = ", and the same command, which asks for more seeds where they are needed" if state.seeds_wanted else ""
    return [
        f"{lacking}\ncopy them here, such as by {copy}\nthen headstart report {shlex.quote(str(state.folder))}{more}"
    ]
