"""What is answered over HTTP: the network's own probabilities, a sentence where there is none, as OpenAPI says."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.serving.app import Explained, Predictions, Unreadable
from serving.helpers_serving import COLOURS, a_picture, as_files, coloured, encoded


def shares(row: dict) -> list[float]:
    """The probabilities in the order of the classes."""
    found = {one["class"]: one["probability"] for one in row["top"]}
    return [found[name] for name in COLOURS]


def test_probabilities_over_http_are_those_of_the_runs_own_evaluation_and_of_python(server, trained, pictures):
    """The same picture gives the same probabilities here, in the run's own evaluation and over HTTP, in fp32."""
    with np.load(trained / "predictions.npz") as kept:
        indices, expected = kept["test_indices"], kept["test_probabilities"]
    names = sorted(pictures.glob("*/*.png"))
    files = [names[index] for index in indices]
    found = []
    for start in range(0, len(files), 5):
        answer = server.predict(*(path.read_bytes() for path in files[start : start + 5]))
        found += [shares(row) for row in answer.json()["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    here = headstart.load_model(trained).predict([str(path) for path in files])
    np.testing.assert_allclose(found, here[list(COLOURS)].to_numpy(), atol=1e-6, rtol=0)


def test_an_answer_for_each_file_in_their_order_and_the_reason_for_a_broken_one(server):
    good, other = a_picture(1), encoded(coloured(2, "blue"), "JPEG")
    answer = server.predict(good, b"no picture", other, good[:200], b"")
    assert answer.status_code == 200
    found = answer.json()
    Predictions.model_validate(found)
    assert found["model"] == "colours"
    rows = found["predictions"]
    assert [row["file"] for row in rows] == [f"{number}.png" for number in range(5)]
    assert [set(row) for row in rows] == [
        {"file", "class", "probability", "top"},
        {"file", "error"},
        {"file", "class", "probability", "top"},
        {"file", "error"},
        {"file", "error"},
    ]
    assert rows[1]["error"] == "no image that Pillow knows"
    assert rows[0]["class"] == rows[0]["top"][0]["class"] and sum(shares(rows[0])) == pytest.approx(1)


def test_as_many_classes_as_are_asked_for(server):
    assert len(server.predict(a_picture(), top_k=1).json()["predictions"][0]["top"]) == 1
    assert len(server.predict(a_picture(), top_k=99).json()["predictions"][0]["top"]) == 3
    for wrong in ("0", "-1", "a", "1e9", "99999999999999999999"):
        answer = server.predict(a_picture(), top_k=wrong)
        assert answer.status_code == 422 and answer.json()["detail"].startswith("top_k: ")


def test_where_no_file_can_be_read_the_request_is_refused_with_every_reason(server):
    answer = server.predict(b"a", b"b")
    assert answer.status_code == 422
    found = answer.json()
    Unreadable.model_validate(found)
    assert found["detail"] == "none of the 2 files can be classified; the first: no image that Pillow knows"
    assert [row["error"] for row in found["predictions"]] == ["no image that Pillow knows"] * 2


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (dict(json={"file": "x"}), 415, "expected multipart/form-data"),
        (dict(content=b"x", headers={"Content-Type": "multipart/form-data"}), 422, "Missing boundary"),
        (dict(content=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"}), 422, "the form cannot be"),
        (dict(content=b"--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}), 422, ""),
        (dict(files={"picture": b"x"}), 422, "there is no field 'picture'"),
        (dict(files=[("file", (None, b"x"))]), 422, "`file` is a text"),
        (dict(files=as_files(*[b"x"] * 17)), 413, "at most 16 pictures a request"),
        (dict(files=as_files(bytes(10_000_001))), 413, "at most 10,000,000 bytes a request"),
    ],
)
def test_another_form_is_refused_in_a_sentence(server, sent, status, said):
    answer = server.client.post("/predict", **sent)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert str(status) in server.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]


def test_a_picture_under_its_map(server):
    answer = server.client.post("/explain", files=as_files(a_picture(3, "green")))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    Explained.model_validate(found)
    row = server.predict(a_picture(3, "green")).json()["predictions"][0]
    assert found["class"] == row["class"] and found["probability"] == pytest.approx(row["probability"], abs=1e-6)
    head, _, content = found["picture"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (320, 320) and len(image.getcolors(1 << 20)) > 100
    assert server.client.post("/explain", files=as_files(b"x")).status_code == 422
    assert server.client.post("/explain", files=as_files(a_picture(), a_picture())).status_code == 422


def test_probes_answer_and_other_paths_and_methods_are_refused(server):
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ready"}
    assert (server.client.get("/docs").status_code, server.client.get("/a").json()) == (404, {"detail": "not found"})
    refused = server.client.get("/predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_the_openapi_document_describes_a_form_with_files(server):
    found = server.client.get("/openapi.json").json()
    assert set(found["paths"]) == {"/", "/predict", "/explain", "/healthz", "/readyz", "/metrics"}
    form = found["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["maxItems"] == 16 and form["required"] == ["file"]
    assert "Retry-After" in found["paths"]["/predict"]["post"]["responses"]["503"]["headers"]
    assert "securitySchemes" not in found.get("components", {})


def test_a_key_is_needed_where_there_is_one(small_server):
    client, picture = small_server.client, as_files(a_picture())
    key = client.headers["X-API-Key"]
    bearer = {"X-API-Key": "", "Authorization": f"Bearer {key}"}
    del client.headers["X-API-Key"]
    try:
        for headers in ({}, {"X-API-Key": key[:-1]}, {"X-API-Key": ""}, {"Authorization": f"Basic {key}"}):
            for refused in (client.post("/predict", files=picture, headers=headers), client.get("/metrics")):
                assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
                assert refused.json()["detail"].startswith("a key is needed")
        both = {"X-API-Key": key, "Authorization": "Bearer another"}
        assert client.post("/predict", files=picture, headers=both).status_code == 401
        assert client.post("/explain", files=picture).status_code == 401
        del bearer["X-API-Key"]
        for headers in (bearer, {"X-API-Key": key}):
            assert client.post("/predict", files=picture, headers=headers).status_code == 200
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/", "/openapi.json")] == [200] * 4
    finally:
        client.headers["X-API-Key"] = key
    document = client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    for place in (small_server.log, small_server.errors):
        assert key not in Path(place).read_text() and key[:-1] not in Path(place).read_text()
