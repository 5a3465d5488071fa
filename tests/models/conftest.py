"""Fixtures of the models room's tests."""

from pathlib import Path

import pytest

from headstart import models
from models.helpers_models import cnn, exported


@pytest.fixture
def trained() -> models.Model:
    return cnn(seed=7)


@pytest.fixture
def file(tmp_path, trained) -> Path:
    path = tmp_path / "best.safetensors"
    path.write_bytes(exported(trained))
    return path
