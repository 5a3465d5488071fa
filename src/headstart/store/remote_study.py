"""A study's runs in a store that fsspec reaches, such as S3: put there whole, and fetched whole or not at all.

A run's files have the names there that they have here, and its result.json, which vouches for the others by SHA-256, is
the last to be put and the first that counts: what a kill has cut off is no run. Nothing is believed for where it came
from; a run that is not what it was when it ended is left there and named.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from headstart.errors import OutsideFault, UserError, first_line, machine_fault, printable
from headstart.store.files import LARGEST_RECORD, as_json, json_of, read_json, write_json
from headstart.store.run_folder import FINISHED, put_aside, read_run
from headstart.store.run_lock import is_alive
from headstart.store.run_record import digest_of, read_record
from headstart.store.scratch import scratch_folder

RESULT, STUDY = "result.json", "study.json"
LEFT_OUT = re.compile(r"last\.ckpt.*|.*\.tmp")  # of a run's folder: what only this folder's processes go on with
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,127}")  # of a file or a folder, as a run leaves them
RECORDS_OF_DATA = re.compile(r"data-[0-9a-f]+\.(json|png)")
EXTRAS = {"s3": "headstart[s3]", "s3a": "headstart[s3]"}  # what brings the package of a protocol


def check_remote(url: str, key: str) -> str:
    """Return the URL if fsspec can be asked for it; nothing is asked yet.

    key: what it was typed behind, for the UserError that is raised otherwise. A URL with a password in it is refused,
    and not shown: it would stand in files and in lists of processes.
    """
    from fsspec import available_protocols, get_filesystem_class

    scheme, separator, place = url.partition("://")
    login, at, _ = place.partition("/")[0].rpartition("@")
    if "?" in place or (at and ":" in login):
        raise UserError(
            f"{key}={scheme}://...: a URL with a password or a query in it would be written to files; leave them out, "
            "and give credentials as the store's own environment variables, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if not separator or not place.strip("/") or scheme not in available_protocols() or scheme == "memory":
        raise UserError(
            f"{key}={printable(url)}: expected the URL of a place that fsspec reaches, such as s3://BUCKET/studies or "
            "file:///FOLDER"
        )
    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        wanted = f"pip install '{EXTRAS[scheme]}'" if scheme in EXTRAS else first_line(error)
        raise UserError(f"{key}={url} needs a package that is not here: {wanted}") from error
    return url


class RemoteStudy:
    """The place of one study in such a store; every method raises OutsideFault where it cannot be used."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the study's path in it."""
        from fsspec.core import url_to_fs

        # Nothing is remembered of a store that others write to; and on S3 nothing makes folders, and what would is told
        # to make buckets.
        options = dict(use_listings_cache=False, skip_instance_cache=True)
        is_local = self.url.partition("://")[0] in ("file", "local")
        with self._explained():
            found, path = url_to_fs(self.url, **options | (dict(auto_mkdir=True) if is_local else {}))
        return found, path.rstrip("/")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever a store's library raises within the block into a sentence; they have no exception in common."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if (fault := machine_fault(error)) is not None:
                raise fault from error
            said = f"{self.url} cannot be used ({type(error).__name__}: {first_line(error)})."
            raise OutsideFault(
                re.sub(r"://[^/\s]*@", "://***@", said)
                + "\nMend the cause and give the same command again: it goes on, and puts there what is missing."
            ) from error

    def _at(self, name: str) -> str:
        return f"{self._opened[1]}/{name}"

    def sizes(self, name: str = "") -> dict[str, int]:
        """Every file of the study, or below one of its folders, with its bytes."""
        system, root = self._opened
        with self._explained():
            found = system.find(self._at(name) if name else root, detail=True)
        return {path[len(root) + 1 :]: info["size"] or 0 for path, info in found.items()}

    def _read(self, name: str) -> bytes | None:
        """A record's bytes; None where there is none."""
        system, _ = self._opened
        with self._explained():
            try:
                if (system.size(self._at(name)) or 0) > LARGEST_RECORD:
                    return None
                return system.cat_file(self._at(name))
            except FileNotFoundError:
                return None

    # ---- the study

    def read_study(self) -> dict[str, Any] | None:
        """What is kept there of the study; None where nothing is."""
        if (content := self._read(STUDY)) is None:
            return None
        try:
            found = json_of(content.decode())
            if not isinstance(found, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise UserError(f"{self.url}/{STUDY} is damaged ({error}); give another place, or mend it") from None
        return found

    def keep_study(self, content: Mapping[str, Any], study_id: str) -> None:
        """Keep what the study's folder says of it. Raises UserError where something else has the place.

        study_id: by which the study of this name is told from others.
        """
        known = self.read_study()
        if known is None and (files := self.sizes()):
            raise UserError(
                f"{self.url} holds something else ({printable(next(iter(files)))}); give another place or another name="
            )
        if known is not None and known.get("id") != study_id:
            raise UserError(
                f"{self.url} holds another study of this name; give another name=, another place, or delete it there"
            )
        system, _ = self._opened
        with self._explained():
            system.pipe_file(self._at(STUDY), as_json(dict(content) | dict(id=study_id)))

    def put_data_records(self, folder: Path) -> None:
        """Put the records of the study's data there, which lie directly in its folder."""
        there = self.sizes()
        for path in sorted(folder.iterdir()):
            if RECORDS_OF_DATA.fullmatch(path.name) and there.get(path.name) != path.stat().st_size:
                self._put(path, path.name)

    def get_data_records(self, folder: Path) -> None:
        """Fetch those that the folder lacks."""
        for name in filter(RECORDS_OF_DATA.fullmatch, self.sizes()):
            if not (folder / name).exists():
                self._get(name, folder / name)

    def _put(self, path: Path, name: str) -> None:
        system, _ = self._opened
        if path.exists():  # a search lets go of weights that it needs no more
            with self._explained():
                system.put_file(os.fspath(path), self._at(name))

    def _get(self, name: str, path: Path) -> None:
        system, _ = self._opened
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            system.get_file(self._at(name), os.fspath(path))

    # ---- its runs

    def put_run(self, run_dir: Path, name: str) -> None:
        """Put a run that has ended, its result last; name: its folder within the study's."""
        for file in sorted(_files_of(run_dir), key=lambda file: file == RESULT):
            self._put(run_dir / file, f"{name}/{file}")

    def lacking(self, runs: Mapping[str, Path]) -> list[str]:
        """Those of the runs, by name, that are not whole there."""
        there = self.sizes()

        def is_there(name: str, run_dir: Path) -> bool:
            if any(there.get(f"{name}/{file}") != size for file, size in _files_of(run_dir).items()):
                return False
            return self._read(f"{name}/{RESULT}") == (run_dir / RESULT).read_bytes()

        return [name for name, run_dir in runs.items() if not is_there(name, run_dir)]

    def runs(self) -> list[str]:
        """The runs that have a result there, by name."""
        return sorted(str(PurePosixPath(file).parent) for file in self.sizes() if _is_result(file))

    def fetch_run(self, name: str, run_dir: Path, digest: str | None, place: Callable[[Path], object]) -> str:
        """Fetch a run; return why it is left out, "" where it was handed to `place`, in a folder beside `run_dir`.

        digest: SHA-256 of the result.json that it has to have; None: any.
        """
        with scratch_folder(run_dir.parent, run_dir.name) as folder:
            here = digest_of(run_dir / RESULT)
            if here is not None and digest in (None, here):
                return ""  # another process of this folder was quicker
            files = [file.removeprefix(f"{name}/") for file in self.sizes(name)]
            if RESULT not in files:
                return "it is not there"
            self._get(f"{name}/{RESULT}", folder / RESULT)
            if digest is not None and digest_of(folder / RESULT) != digest:
                return f"its {RESULT} there is not the one that the study has"
            for file in files:
                if file != RESULT and _is_of_a_run(file):
                    self._get(f"{name}/{file}", folder / file)
            if not (fault := _fault_of(folder)):
                place(folder)
            return fault


def fetch_study(folder: Path, url: str) -> list[str]:
    """Fetch into a study's folder, made when missing, the runs that it lacks; a line for each that is left out.

    Raises UserError where the URL holds no study, or another than the folder; OutsideFault where it cannot be read.
    """
    remote = RemoteStudy(url)
    if (study := remote.read_study()) is None:
        raise UserError(f"{remote.url} holds no study; expected what stood behind hydra.sweeper.sync=, and /NAME")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STUDY).exists():
        write_json(folder / STUDY, study)
    elif differing := _differing(read_json(folder / STUDY), study):
        raise UserError(f"{remote.url} and {folder} are not of one study: they differ in {differing}")
    remote.get_data_records(folder)
    lines = []
    for name in remote.runs():
        run_dir = folder / name
        if (run_dir / RESULT).exists() or is_alive(run_dir):
            continue
        if fault := remote.fetch_run(name, run_dir, None, lambda found, to=run_dir: _place(found, to)):
            lines.append(f"{remote.url}/{name} is left out: {fault}")
    return lines


def _place(found: Path, run_dir: Path) -> None:
    if run_dir.exists():  # begun here, and ended elsewhere
        put_aside(run_dir)
    found.rename(run_dir)


def _differing(one: Any, other: Mapping[str, Any]) -> str:
    """What two records of a study disagree on; "" where they are of one."""
    one = one if isinstance(one, Mapping) else {}
    if one.get("id", other.get("id")) != other.get("id"):
        return "id"
    arms = one.get("arms", {}), other.get("arms", {})
    if not all(isinstance(arm, Mapping) for arm in arms):
        return "arms"
    shared = [arm for arm in arms[0] if arm in arms[1] and arms[0][arm] != arms[1][arm]]
    return next(iter(shared), "" if one.get("common") == other.get("common") else "common")


def _files_of(run_dir: Path) -> dict[str, int]:
    """What of a run's folder is put into a store, in order, with its bytes."""
    found = {}
    for path in sorted(run_dir.rglob("*")):
        if path.is_file() and _is_of_a_run(name := path.relative_to(run_dir).as_posix()):
            with suppress(FileNotFoundError):
                found[name] = path.stat().st_size
    return found


def _is_of_a_run(file: str) -> bool:
    """Whether a file's path within a run's folder is one that a run leaves; what a store lists may be anything."""
    *folders, name = file.split("/")
    if folders[:1] == [".hydra"]:
        folders = folders[1:]
    return all(map(NAME.fullmatch, [*folders, name])) and not LEFT_OUT.fullmatch(name)


def _is_result(file: str) -> bool:
    *folders, name = file.split("/")
    return name == RESULT and 0 < len(folders) <= 4 and all(map(NAME.fullmatch, folders))


def _fault_of(run_dir: Path) -> str:
    """What speaks against a fetched run; "" where each of its files is what its result vouches for."""
    record = read_run(run_dir)
    if record["state"] not in FINISHED:
        return record["reason"]
    _, digests, _ = read_record(run_dir / RESULT)
    if digests is None:
        return f"its {RESULT} has no SHA-256"
    digests = digests | ({"best.safetensors": record["best_sha256"]} if record.get("best_sha256") else {})
    for name, digest in digests.items():
        if (run_dir / name).exists() and digest_of(run_dir / name) != digest:
            return f"damaged {name}: it is not what the run left"
    return ""
