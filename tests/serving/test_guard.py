"""Every request has an id and a line in the log, and no mistake becomes a traceback."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from headstart.serving.guard import Guard, facts_of
from headstart.serving.metrics import Metrics
from serving.helpers_serving import a_picture

KEYS = {"time", "level", "event", "id", "method", "path", "status", "ms", "pictures", "batch"}


def test_a_line_for_each_request_without_what_was_sent(server):
    before = len(server.lines("request"))
    files = {"file": ("secret-name.png", a_picture(), "image/png")}
    answer = server.client.post("/predict?top_k=2&secret=1", files=files, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    server.wait_until(lambda: len(server.lines("request")) > before)
    line = server.lines("request")[-1]
    assert set(line) == KEYS
    assert (line["id"], line["path"], line["status"], line["pictures"], line["batch"]) == (
        "mine-1",
        "/predict",
        200,
        1,
        1,
    )
    assert "secret" not in server.log.read_text()


@pytest.mark.parametrize("given", ["a b", "a" * 65, 'x"y', "ä".encode()])
def test_an_id_that_could_mean_something_is_replaced(server, given):
    answer = server.client.get("/healthz", headers={"X-Request-ID": given})
    assert len(answer.headers["x-request-id"]) == 32


def guarded(app, messages: list[dict]) -> tuple[list[dict], Metrics]:
    """What the guard sends when `app` answers a request whose body comes in these messages."""
    registry = CollectorRegistry()
    requests = Counter("requests", "", ("path", "status"), registry=registry)
    seconds = Histogram("seconds", "", ("path",), registry=registry)
    metrics = Metrics(registry, requests, seconds, None, None, None, None)
    sent, coming = [], iter(messages)

    async def receive():
        return next(coming)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
    asyncio.run(Guard(app, metrics, ("/predict",))(scope, receive, send))
    return sent, metrics


def test_a_mistake_is_500_with_a_line_in_the_log_that_names_the_place(caplog):
    async def wrong(scope, receive, send):
        facts_of(scope)
        raise ZeroDivisionError("of the test")

    sent, metrics = guarded(wrong, [{"type": "http.request", "body": b"", "more_body": False}])
    assert sent[0]["status"] == 500 and json.loads(sent[1]["body"]) == {
        "detail": "a mistake of the server; its log says more"
    }
    assert metrics.registry.get_sample_value("requests_total", {"path": "/predict", "status": "500"}) == 1
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["mistake"]


def test_a_body_that_nobody_reads_is_read_on_before_the_answer_so_that_it_is_seen():
    async def refusing(scope, receive, send):
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parts = [{"type": "http.request", "body": b"x", "more_body": more} for more in (True, True, False)]
    sent, _ = guarded(refusing, parts)
    assert (b"connection", b"close") not in sent[0]["headers"]
    endless = [{"type": "http.request", "body": bytes(9_000_000), "more_body": True}] * 9
    sent, _ = guarded(refusing, endless)
    assert (b"connection", b"close") in sent[0]["headers"]
