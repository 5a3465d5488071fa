"""The files of a request, read into memory under limits on bytes, pictures and time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from headstart.serving.settings import Settings

FIELD = "file"
MOST_FIELDS = 8  # that are no files
MEMORY_OF_REQUESTS = 16  # uploads of the largest size that are held at a time
RETRY_SECONDS = 1


class Refused(Exception):
    """Why a request is not answered: a status and a sentence, and what else the answer says."""

    def __init__(self, status: int, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more


@dataclass(frozen=True, eq=False)
class File:
    """A file of a request."""

    name: str
    content: bytes


class _InMemory(MultiPartParser):
    """Files stay in memory, which is bounded: the disk may be read-only, and pictures are nobody's to keep."""

    spool_max_size = 1 << 40


@dataclass(eq=False)
class Admission:
    """How much is in the house: pictures that were accepted and not answered yet, and bytes of uploads."""

    settings: Settings
    pictures: int = 0
    bytes: int = 0
    stopping: bool = False

    def check(self) -> None:
        """Raise Refused where nothing more is accepted now."""
        if self.stopping:
            raise Refused(503, "the server is stopping")
        if self.pictures >= self.settings.queue:
            raise Refused(503, f"the queue is full: {self.pictures} pictures wait")

    @contextmanager
    def pictures_taken(self, count: int) -> Iterator[None]:
        """Keep places for pictures. Raises Refused where there are not so many."""
        self.check()
        if self.pictures + count > self.settings.queue:
            raise Refused(503, f"the queue is full: {self.pictures} pictures wait, and {count} more have no place")
        self.pictures += count
        try:
            yield
        finally:
            self.pictures -= count

    def take_bytes(self, count: int) -> None:
        """Count bytes of an upload. Raises Refused where there are too many at a time."""
        self.bytes += count
        if self.bytes > MEMORY_OF_REQUESTS * max(self.settings.max_bytes, 1_000_000):
            raise Refused(503, "too many large uploads at a time")


async def read_files(request: Request, admission: Admission, began: float) -> list[File]:
    """The files of a form that has nothing else. began: when the request did, in time.monotonic()'s seconds.

    Raises:
        Refused: 408 too slow, 413 too many bytes or files, 415 no form, 422 a form without files, 503 no room.
    """
    settings = admission.settings
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused(415, f"expected multipart/form-data with one or more pictures as `{FIELD}`")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_bytes:
        raise Refused(413, _too_many_bytes(settings))
    admission.check()
    read = _Counter(request, admission)
    try:
        async with asyncio.timeout(began + settings.timeout - time.monotonic()):
            parser = _InMemory(request.headers, read.chunks(), max_files=settings.max_pictures, max_fields=MOST_FIELDS)
            return await _files(await parser.parse())
    except TimeoutError:
        raise Refused(408, f"the request was not there after {settings.timeout:g} seconds") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the request did") from None
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Refused(413, f"at most {settings.max_pictures} pictures a request") from None
        raise Refused(422, f"the form cannot be read: {error.message.rstrip('.')}") from None
    finally:
        admission.bytes -= read.count


@dataclass(eq=False)
class _Counter:
    request: Request
    admission: Admission
    count: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Refused where it is too large."""
        async for chunk in self.request.stream():
            self.count += len(chunk)
            self.admission.take_bytes(len(chunk))
            if self.count > self.admission.settings.max_bytes:
                raise Refused(413, _too_many_bytes(self.admission.settings))
            yield chunk


def _too_many_bytes(settings: Settings) -> str:
    return f"at most {settings.max_bytes:,} bytes a request"


async def _files(form: object) -> list[File]:
    """Raises Refused for what is no file, or none."""
    files = []
    for name, value in form.multi_items():
        if name != FIELD:
            raise Refused(422, f"there is no field {name[:40]!r}; pictures are sent as `{FIELD}`")
        if not isinstance(value, UploadFile):
            raise Refused(422, f"`{FIELD}` is a text; expected a file, with a file name")
        files.append(File(value.filename or "", await value.read()))
        await value.close()
    if not files:
        raise Refused(422, f"the form holds no picture; send one or more as `{FIELD}`")
    return files
