"""The routes, and the OpenAPI document that describes them."""

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from headstart import __version__
from headstart.serving.batching import Answer
from headstart.serving.guard import Guard, facts_of
from headstart.serving.page import page
from headstart.serving.service import Service, Unread, highest
from headstart.serving.settings import Settings
from headstart.serving.uploads import FIELD, RETRY_SECONDS, Refused, read_files

PATHS = ("/", "/predict", "/explain", "/healthz", "/readyz", "/metrics", "/openapi.json")
MOST_TOP = 10_000


class Probable(BaseModel):
    """A class and how probable it is."""

    class_: str = Field(alias="class")
    probability: float = Field(ge=0, le=1.001, description="0 to 1")


class Predicted(Probable):
    """What the network says of a picture."""

    file: str = Field(description="the name that the client gave it")
    top: list[Probable] = Field(description="the most probable classes, the most probable first")


class Broken(BaseModel):
    """A file that cannot be classified."""

    file: str
    error: str = Field(description="why, in a sentence")


class Predictions(BaseModel):
    """An answer for every file, in their order."""

    model: str
    predictions: list[Predicted | Broken]


class Explained(Probable):
    """What the network says of a picture, and where on it."""

    picture: str = Field(description="data:image/png;base64,...: the picture under its Grad-CAM")


class Status(BaseModel):
    """How the server is."""

    status: str


class Detail(BaseModel):
    """Why a request was not answered, in a sentence."""

    detail: str


class Unreadable(Detail):
    """No file of the request could be classified; or the request is of another form."""

    model: str | None = None
    predictions: list[Broken] | None = None


REFUSALS = {
    400: "the request is damaged",
    401: "there is no key, or it is another",
    408: "the request did not come in time",
    413: "too many bytes, pictures or pixels",
    415: "the request is no form with files",
    422: "no file can be classified, or the form or a parameter is another than expected",
    501: "this server cannot explain",
    503: "the queue is full, there was no answer in time, or the server is stopping",
}


def make_app(service: Service) -> Guard:
    """The application. Whoever serves it sets `service.admission.stopping` when it is to end."""
    title, about = f"headstart serve {service.model.name}", "Says what is on pictures, by a trained network."
    app = FastAPI(title=title, description=about, version=__version__, docs_url=None, redoc_url=None)
    keys = [Depends(key_check(service.settings))] if service.settings.key is not None else []
    _add_probes(app, service, keys)
    _add_pictures(app, service, keys)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return Guard(app, service.metrics, PATHS)


def key_check(settings: Settings) -> Any:
    """What raises Refused, before a body is read, unless the request has the key, and no other one.

    Comparing takes the same time for all that may be given.
    """
    expected = hashlib.sha256((settings.key or "").encode()).digest()

    async def check(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
        header: Annotated[str | None, Depends(APIKeyHeader(name="X-API-Key", auto_error=False))],
    ) -> None:
        given = [bearer.credentials if bearer else ""] * ("authorization" in request.headers)
        given += [] if header is None else [header]
        same = [hmac.compare_digest(hashlib.sha256(key.encode()).digest(), expected) for key in given]
        if not same or not all(same):
            raise Refused(401, "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")

    return check


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    said = {status: {"model": Detail, "description": REFUSALS[status]} for status in statuses}
    if 503 in said:
        said[503]["headers"] = retry
    if 422 in said:
        said[422]["model"] = Unreadable
    return said


def _form(most: int) -> dict[str, Any]:
    """The OpenAPI description of a form with files."""
    files: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    properties = {FIELD: files | {"maxItems": most, "description": "a picture, or several in fields of this name"}}
    schema = {"type": "object", "properties": properties, "required": [FIELD], "additionalProperties": False}
    content = {"multipart/form-data": {"schema": schema, "encoding": {FIELD: {"contentType": "image/*"}}}}
    return {"requestBody": {"required": True, "content": content}}


def _add_probes(app: FastAPI, service: Service, keys: list[Any]) -> None:
    shown, headers = page(service.model, service.settings)
    said: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    if keys:  # whose answer is JSON, too
        detail = {"application/json": {"schema": {"$ref": "#/components/schemas/Detail"}}}
        said[401] = {"description": REFUSALS[401], "content": detail}

    @app.get("/", response_class=HTMLResponse)
    async def first_page() -> Response:
        """A page on which pictures can be dropped."""
        return HTMLResponse(shown, headers=headers)

    @app.get("/healthz", response_model=Status)
    async def is_alive() -> Response:
        """Whether the process lives."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", response_model=Status, responses=_documented(503))
    async def is_ready() -> Response:
        """Whether a worker has the network and requests are accepted."""
        if service.admission.stopping:
            raise Refused(503, "the server is stopping")
        if not service.pool.ready:
            raise Refused(503, "no worker has the network yet")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", dependencies=keys, responses=said, response_class=PlainTextResponse)
    async def figures() -> Response:
        """Figures in Prometheus' text format."""
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_pictures(app: FastAPI, service: Service, keys: list[Any]) -> None:
    statuses = [400, *[401] * bool(keys), 408, 413, 415, 422, 503]
    model, admission = service.model, service.admission

    @app.post(
        "/predict",
        response_model=Predictions,
        dependencies=keys,
        responses=_documented(*statuses),
        openapi_extra=_form(service.settings.max_pictures),
    )
    async def predict(request: Request, top_k: Annotated[int, Query(ge=1, le=MOST_TOP)] = 5) -> Response:
        """Say what is on pictures."""
        facts = facts_of(request.scope)
        files = await read_files(request, admission, facts.began)
        facts.logged["pictures"] = len(files)
        found = await service.predict(files, facts.began)
        batches = [answer.batch for answer in found if isinstance(answer, Answer)]
        facts.logged["batch"] = max(batches, default=0)
        rows = [_row(file.name, answer, model.classes, top_k) for file, answer in zip(files, found, strict=True)]
        if not batches:
            raise _none_read(found, model=model.name, predictions=rows)
        return JSONResponse({"model": model.name, "predictions": rows})

    @app.post(
        "/explain",
        response_model=Explained,
        dependencies=keys,
        responses=_documented(*statuses, 501),
        openapi_extra=_form(1),
        include_in_schema=model.unexplained is None,
    )
    async def explain(request: Request) -> Response:
        """Say what is on a picture, and show what spoke for it (Grad-CAM)."""
        if model.unexplained is not None:
            raise Refused(501, model.unexplained)
        facts = facts_of(request.scope)
        files = await read_files(request, admission, facts.began)
        if len(files) > 1:
            raise Refused(422, f"one picture is explained at a time, these are {len(files)}")
        found = await service.explain(files[0], facts.began)
        facts.logged["pictures"] = 1
        if isinstance(found, Unread):
            raise _none_read([found])
        return JSONResponse(found)


def _row(name: str, answer: Answer | Unread, classes: tuple[str, ...], top: int) -> dict[str, Any]:
    if isinstance(answer, Unread):
        return {"file": name, "error": answer.reason}
    best = highest(answer.probabilities, classes, top)
    return {"file": name, **best[0], "top": best}


def _none_read(found: list[Answer | Unread], **more: Any) -> Refused:
    """The refusal of a request of which no file can be decoded."""
    first = next(answer for answer in found if isinstance(answer, Unread))
    too_large = any(isinstance(answer, Unread) and answer.too_large for answer in found)
    what = "the file" if len(found) == 1 else f"none of the {len(found)} files"
    said = "cannot be classified" if len(found) == 1 else "can be classified; the first"
    return Refused(413 if too_large else 422, f"{what} {said}: {first.reason}", **more)


# ------------------------------------------------------------------------------------------------------------- refusals


async def _refused(_: Request, error: Refused) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if error.status == 503 else {}
    headers |= {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    return JSONResponse({"detail": error.detail, **error.more}, error.status, headers)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    """What FastAPI refuses, in a sentence."""
    said = [f"{'.'.join(map(str, found['loc'][1:]))}: {found['msg'].lower()}" for found in error.errors()]
    return JSONResponse({"detail": "; ".join(said)}, 422)


async def _http(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": str(error.detail).lower()}, error.status_code, error.headers)
