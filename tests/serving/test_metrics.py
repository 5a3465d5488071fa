"""Figures for Prometheus count what was asked and answered."""

import numpy as np
import pytest

from headstart.store import read_run
from serving.helpers_serving import COLOURS, a_picture, encoded


def test_figures_grow_by_what_is_asked(server, pictures):
    before = server.figures()
    black = encoded(np.zeros((24, 24, 3), np.uint8))
    rows = server.predict(*[black] * 3, b"broken").json()["predictions"][:3]
    server.predict(b"broken")
    after = server.figures()

    def grown(name: str) -> float:
        return after[f"headstart_{name}"] - before.get(f"headstart_{name}", 0)

    assert grown('requests_total{path="/predict",status="200"}') == 1
    assert grown('requests_total{path="/predict",status="422"}') == 1
    assert grown('request_seconds_count{path="/predict"}') == 2
    assert grown("unread_pictures_total") == 2
    assert grown(f'predictions_total{{class="{rows[0]["class"]}"}}') == 3
    assert (
        sum(after.get(f'headstart_predictions_total{{class="{name}"}}', 0) for name in COLOURS)
        == (after["headstart_confidence_count"])
    )
    assert grown("confidence_sum") == pytest.approx(sum(row["probability"] for row in rows), abs=1e-5)
    assert grown("batch_pictures_count") == 3 and grown("batch_pictures_sum") in (3, 5, 9)
    assert after["headstart_queue_pictures"] == 0 and after["headstart_queue_limit_pictures"] == 256


def test_drift_is_that_of_what_came_in_against_the_runs_training_pictures(server, trained):
    assert read_run(trained)["normalisation"] == "data"
    text = server.client.get("/metrics").text
    assert "mean and deviation are those of the training pictures." in text
    white = encoded(np.full((24, 24, 3), 255, np.uint8))
    for _ in range(4):
        server.predict(*[white] * 16)
    found = server.figures()
    assert all(found[f'headstart_input_shift{{channel="{name}"}}'] > 0.1 for name in COLOURS)
    assert all(found[f'headstart_input_spread{{channel="{name}"}}'] > 1 for name in COLOURS)


def test_names_of_files_and_paths_of_strangers_are_no_labels(server):
    server.client.get("/secret-path")
    server.client.post("/predict", files={"file": ("secret-name.png", a_picture(), "image/png")})
    text = server.client.get("/metrics").text
    assert "secret" not in text and 'path="other",status="404"' in text
