"""Ray is started or joined once, or a sentence says why it can't be; nothing of it is installed with headstart."""

import signal
import sys
from types import SimpleNamespace

import pytest

from headstart.errors import UserError
from headstart.sweep.cluster.ray_nodes import prepare_ray


@pytest.fixture
def ray(monkeypatch):
    """A stand-in for Ray, which is half a gigabyte: like it, `init` takes SIGTERM for itself."""
    calls = []

    def init(**given):
        calls.append(given)
        signal.signal(signal.SIGTERM, lambda *_: None)
        if given.get("address") == "nowhere:1":
            raise ConnectionError("Could not find any running Ray instance.\nand much more")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, is_initialized=lambda: bool(calls)))
    before = signal.getsignal(signal.SIGTERM)
    yield calls
    assert signal.getsignal(signal.SIGTERM) is before


def test_ray_is_initialised_once_and_a_signal_still_ends_the_study(ray):
    prepare_ray({"address": None, "num_cpus": 2})
    prepare_ray({"address": None, "num_cpus": 2})
    assert ray == [{"address": None, "num_cpus": 2}]


def test_a_ray_that_cannot_be_reached_is_a_sentence(ray):
    with pytest.raises(UserError) as error:
        prepare_ray({"address": "nowhere:1"})
    first, second = str(error.value).splitlines()
    assert first == ("hydra/launcher=ray: Ray at nowhere:1 cannot be used: Could not find any running Ray instance.")
    assert "address=auto" in second
