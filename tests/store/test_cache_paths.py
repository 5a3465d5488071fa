"""Where caches lie, how much they may take, and how paths and sizes are written."""

import pytest

from headstart.errors import UserError
from headstart.store.cache_paths import cache_limit, cache_root, expanded, shown_path, shown_size


@pytest.mark.parametrize("text", ["many", "-1", "nan", "1e99"])
def test_a_limit_that_is_no_size_is_refused(text, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE_GB", text)
    with pytest.raises(UserError, match=rf"HEADSTART_CACHE_GB={text} .*e\.g\. 20"):
        cache_limit()


def test_where_features_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for value, expected in (("~/x", tmp_path / "x"), ("", tmp_path / ".cache" / "headstart")):
        monkeypatch.setenv("HEADSTART_CACHE", value)
        assert cache_root() == expected
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert str(cache_root()) == "/elsewhere/headstart"
    assert shown_path(tmp_path / "x" / "y") == "~/x/y"
    monkeypatch.setenv("HEADSTART_CACHE", "off")
    with pytest.raises(UserError, match="HEADSTART_CACHE_GB=0"):
        cache_root()


def test_amounts_are_written_as_people_write_them():
    written = [shown_size(size) for size in (4.1e9, 26_400_000, 310_000, 123_456_000_000)]
    assert written == ["4.1 GB", "26.4 MB", "310 kB", "123 GB"]


def test_a_tilde_is_the_home_folder_and_nobodys_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x" and str(expanded("x~")) == "x~"
    with pytest.raises(UserError, match=r"^~nobody-of-this-name/x: .*; give the folder itself"):
        expanded("~nobody-of-this-name/x")
