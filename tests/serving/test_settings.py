"""What a server is started with is checked before anything is loaded."""

import sys

import pytest

from headstart.errors import UserError
from headstart.serving.settings import EXTRA, Settings, check_extra, read_bytes, usable_cores


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (dict(workers=0), "--workers: give 1 or more"),
        (dict(workers=65), "--workers 65: give 64 at most"),
        (dict(batch_wait=-1), "--batch-wait-ms: give 0 or more"),
        (dict(timeout=0), "--timeout 0: give 0.1 to 3600 seconds"),
        (dict(timeout=float("nan")), "--timeout nan"),
        (dict(port=70_000), "--port 70000: give 1 to 65535"),
        (dict(queue=4), "--max-pictures 16 is more than --queue 4"),
        (dict(backend="jax"), "--backend jax: choose of torch, onnx"),
        (dict(key="a b"), "HEADSTART_API_KEY has characters"),
        (dict(key="a\n"), "HEADSTART_API_KEY has characters"),
    ],
)
def test_values_that_make_no_sense_are_said(values, said):
    with pytest.raises(UserError, match=said):
        Settings(**values)


def test_a_key_is_never_shown():
    assert "secret" not in repr(Settings(key="secret"))


@pytest.mark.parametrize(
    ("host", "needs_key"),
    [("127.0.0.1", False), ("localhost", False), ("127.9.9.9", False), ("0.0.0.0", True)],
)
def test_other_addresses_than_loopback_need_a_key(host, needs_key):
    if needs_key:
        with pytest.raises(UserError, match=r"can be reached by others, so a key is needed: export HEADSTART_API_KEY="):
            Settings(host=host).addresses()
    else:
        assert Settings(host=host).addresses()
    assert Settings(host=host, key="secret").addresses()


def test_a_name_that_is_no_address_is_said():
    for host in ("no such host", "999.1.1.1", "\ud800"):
        with pytest.raises(UserError, match="is no address of this machine"):
            Settings(host=host).addresses()


def test_sizes_are_read_as_people_write_them():
    found = [read_bytes(text) for text in ("10MB", "1.5 kb", "7", "2g", "12B")]
    assert found == [10_000_000, 1_500, 7, 2_000_000_000, 12]
    for text in ("", "MB", "-1", "1e3", "10 MiB", "nan"):
        with pytest.raises(ValueError, match="is no size"):
            read_bytes(text)


@pytest.mark.parametrize("name", EXTRA)
def test_a_missing_library_is_named_with_its_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"needs {name}: pip install 'headstart\[serve\]'"):
        check_extra()


def test_the_onnx_backend_needs_another(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check_extra("torch")
    with pytest.raises(UserError, match=r"pip install 'headstart\[export\]'"):
        check_extra("onnx")


def test_a_container_with_less_time_than_cores_counts_as_so_many(tmp_path):
    quota = tmp_path / "cpu.max"
    assert usable_cores(quota) >= 1
    quota.write_text("max 100000\n")
    assert usable_cores(quota) == usable_cores(tmp_path / "none")
    quota.write_text("50000 100000\n")
    assert usable_cores(quota) == 1


def test_cores_are_shared_out_among_workers():
    assert Settings(workers=1).threads == usable_cores()
    assert Settings(workers=64).threads == 1
