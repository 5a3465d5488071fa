"""Runs that have ended here are put into a store, those that have ended elsewhere are fetched from it.

The study's claims say which those are, and by the SHA-256 of its result.json which result of a run the study has: one
that was fenced off is neither put there nor taken from there. A store that cannot be used costs no result, as each lies
in a folder: what is missing there is put there at the next run's end, at this command's, or when it is given again.
"""

import sys
import threading
import time
from pathlib import Path

from headstart.errors import OutsideFault, UserError
from headstart.store import RemoteStudy, digest_of, read_json, read_run
from headstart.sweep.leases import EndedRun
from headstart.sweep.recovery import make_way
from headstart.sweep.study_state import StudyState

SECONDS_BETWEEN_LOOKS = 1.0  # for a run that another process is putting there


class Synced:
    """A study's folder beside its place in a store, `url`/name; without one nothing is put or fetched."""

    def __init__(self, state: StudyState, url: str | None):
        self.state = state
        self.remote = None if url is None else RemoteStudy(f"{url.rstrip('/')}/{state.name}")
        self._said: set[str] = set()  # lines that are not said twice
        self._changing = threading.Lock()

    @property
    def url(self) -> str:
        """The study's place in the store; "" without one."""
        return "" if self.remote is None else self.remote.url

    # ---- from begin to end

    def begin(self) -> None:
        """Have a place in the store, put there what it lacks and fetch what lies there alone, before anything trains.

        Raises UserError where the place is another study's, and OutsideFault where it cannot be used.
        """
        if self.remote is None:
            return
        self._keep_study()
        self._put_missing()
        self._fetch_source()
        self._fetch()

    def put(self, run_dir: Path) -> None:
        """Put a run there that has just ended. To be called while its claim is held: others wait for that."""
        if self.remote is None or run_dir not in self._ended_here(run_dir):
            return
        try:
            self.remote.put_run(run_dir, self._name(run_dir))
        except OutsideFault as fault:
            self._say(f"{fault}")

    def fetch(self) -> bool:
        """Fetch what ended elsewhere by now; whether more lies here than did before."""
        if self.remote is None or not (before := self.state.away()):
            return False
        try:
            self._fetch()
        except OutsideFault as fault:
            self._say(f"{fault}")
        return bool(before.keys() - self.state.away().keys())

    def end(self) -> str:
        """Put there what it still lacks; return why that could not be done, "" where all is there."""
        if self.remote is None:
            return ""
        try:
            self._put_missing()
            self._keep_study()
        except UserError as error:
            return f"{error}"
        return ""

    # ---- putting

    def _keep_study(self) -> None:
        study_id = self.state.studies[self.state.arms[0].name].user_attrs["folder"]
        self.remote.keep_study(read_json(self.state.folder / "study.json"), study_id)

    def _ended_here(self, *of: Path) -> list[Path]:
        """Runs, or those of some, whose result in this folder is the one that the study has."""
        ended = {d: run.digest for d, run in self.state.claims.ended().items() if run.is_ours and (not of or d in of)}
        found = [d for d, digest in ended.items() if digest_of(d / "result.json") == digest]
        source = self.state.source_dir
        is_ours = not self.state.has_joined and (not of or source in of)
        return found + [source] * (is_ours and read_run(source)["state"] == "COMPLETE")

    def _put_missing(self) -> None:
        here = {self._name(run_dir): run_dir for run_dir in self._ended_here()}
        for name in self.remote.lacking(here):
            self.remote.put_run(here[name], name)
        self.remote.put_data_records(self.state.folder)

    def _name(self, run_dir: Path) -> str:
        return run_dir.relative_to(self.state.folder).as_posix()

    # ---- fetching

    def _fetch(self) -> None:
        while self._is_one_on_its_way():
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _is_one_on_its_way(self) -> bool:
        """Fetch what is there; whether something is not, whose process is alive: it will be in a moment."""
        on_its_way = False
        for run_dir, run in self.state.away().items():
            name = self._name(run_dir)
            fault = self.remote.fetch_run(name, run_dir, run.digest, lambda d, of=run_dir, r=run: self._place(d, of, r))
            if fault and self.state.claims.is_alive(run_dir):
                on_its_way = True
            elif fault:
                self._say(f"{self.url}/{name} is left out: {fault}")
        return on_its_way

    def _place(self, found: Path, run_dir: Path, run: EndedRun) -> None:
        """Have a fetched run in its place, unless the study has another result of it by now, or it runs again here."""
        with self.state.locked():
            if self.state.away().get(run_dir) != run:
                return
            if run_dir.exists():
                self._say(make_way(run_dir, run))
            found.rename(run_dir)

    def _fetch_source(self) -> None:
        """Fetch the run that comes before the arms, of which each folder has its own, into a folder that joins."""
        source = self.state.source_dir
        name = self._name(source)
        if not self.state.has_joined or source.exists() or not self.remote.sizes(name):
            return
        if fault := self.remote.fetch_run(name, source, None, lambda found: found.rename(source)):
            self._say(f"{self.url}/{name} is left out: {fault}")

    def _say(self, line: str) -> None:
        with self._changing:
            if line not in self._said:
                self._said.add(line)
                print(f"headstart: {line}", file=sys.stderr, flush=True)
