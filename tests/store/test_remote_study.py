"""Runs put into a store and fetched from it, here a folder; tests/sweep/sync has them in a server of S3's kind."""

import re
from pathlib import Path

import pytest
from conftest import files_below
from fsspec.implementations.local import LocalFileSystem

from headstart.errors import OutsideFault, UserError
from headstart.store import RemoteStudy, check_remote, digest_of, fetch_study, read_run, write_json, write_record
from store.helpers_store import finish, python

RUN = "a/search/000"
STUDY = dict(common={"protocol": 4}, arms={"a": {"epochs": 3}})


def made(folder: Path, name: str = RUN, accuracy: float = 50.0, epochs: str = "epoch\n1\n") -> Path:
    """A run as it leaves its folder, with what only its own processes need."""
    run_dir = folder / name
    (run_dir / ".hydra").mkdir(parents=True, exist_ok=True)
    (run_dir / ".hydra" / "config.yaml").write_text("epochs: 3\n")
    (run_dir / "epochs.csv").write_text(epochs)
    (run_dir / "best.safetensors").write_bytes(b"weights of %d" % accuracy)
    for hidden in (".lock", ".owner", "last.ckpt", "last.ckpt.previous", "epochs.csv.tmp"):
        (run_dir / hidden).write_text("only here")
    weights = dict(best_sha256=digest_of(run_dir / "best.safetensors"))
    write_record(run_dir / "run.json", dict(seed=0))
    write_record(run_dir / "result.json", dict(state="COMPLETE", val_accuracy=accuracy) | weights, ["epochs.csv"])
    return run_dir


@pytest.fixture
def url(tmp_path) -> str:
    return f"file://{tmp_path}/store/s"


@pytest.fixture
def remote(url) -> RemoteStudy:
    found = RemoteStudy(url)
    found.keep_study(STUDY, "1")
    return found


@pytest.fixture
def there(tmp_path) -> Path:
    """Where the store keeps the run."""
    return tmp_path / "store/s" / RUN


def left_out(tmp_path, url) -> str:
    """Why the only run in the store is left out; a report finds none."""
    (line,) = fetch_study(tmp_path / "fetched", url)
    assert not (tmp_path / "fetched" / RUN).exists()
    return line.removeprefix(f"{url}/{RUN} is left out: ")


def test_what_is_fetched_is_what_was_put_without_what_only_its_processes_need(tmp_path, remote, url):
    run_dir = made(tmp_path / "here")
    remote.put_run(run_dir, RUN)
    assert fetch_study(tmp_path / "fetched", url) == []
    fetched = files_below(tmp_path / "fetched" / RUN)
    assert sorted(fetched) == [".hydra/config.yaml", "best.safetensors", "epochs.csv", "result.json", "run.json"]
    assert fetched.items() <= files_below(run_dir).items()
    assert read_run(tmp_path / "fetched" / RUN) == read_run(run_dir)
    assert (tmp_path / "fetched/study.json").exists()


class Killed(BaseException):
    pass


def put_and_die(remote, run_dir, monkeypatch, files: int) -> None:
    """Put a run, of which only so many files arrive whole, and of the next one half."""
    arrived, put = [], LocalFileSystem.put_file

    def cut(self, path, to, **options):
        arrived.append(path)
        put(self, path, to, **options)
        if len(arrived) > files:
            Path(to).write_bytes(Path(path).read_bytes()[: Path(path).stat().st_size // 2])
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(LocalFileSystem, "put_file", cut)
        remote.put_run(run_dir, RUN)


@pytest.mark.parametrize("files", range(5))
def test_a_run_of_which_a_part_has_arrived_is_none_and_lacks_until_it_is_put_again(
    tmp_path, remote, url, monkeypatch, files
):
    run_dir = made(tmp_path / "here")
    put_and_die(remote, run_dir, monkeypatch, files)
    if files < 4:
        assert remote.runs() == [] and fetch_study(tmp_path / "fetched", url) == []
        assert not (tmp_path / "fetched" / RUN).exists()
    else:
        assert "unreadable result.json" in left_out(tmp_path, url)
    assert remote.lacking({RUN: run_dir}) == [RUN]
    remote.put_run(run_dir, RUN)
    assert remote.lacking({RUN: run_dir}) == []
    assert fetch_study(tmp_path / "fetched", url) == []
    assert read_run(tmp_path / "fetched" / RUN) == read_run(run_dir)


@pytest.mark.parametrize(("files", "damaged"), [(1, "best.safetensors"), (2, "epochs.csv")])
def test_a_run_half_replaced_by_a_later_result_is_none(tmp_path, remote, url, monkeypatch, files, damaged):
    remote.put_run(made(tmp_path / "here"), RUN)
    later = made(tmp_path / "here", accuracy=60, epochs="epoch\n1\n2\n")
    put_and_die(remote, later, monkeypatch, files)
    assert left_out(tmp_path, url) == f"damaged {damaged}: it is not what the run left"


@pytest.mark.parametrize("name", ["epochs.csv", "result.json", "best.safetensors"])
def test_a_run_that_somebody_changed_in_the_store_is_left_out(tmp_path, remote, url, there, name):
    run_dir = made(tmp_path / "here")
    remote.put_run(run_dir, RUN)
    content = (there / name).read_bytes()
    (there / name).write_bytes(content.replace(b"5", b"6").replace(b"1", b"7"))
    assert name in left_out(tmp_path, url)
    assert remote.lacking({RUN: run_dir}) == ([RUN] if name == "result.json" else [])  # of the others, sizes are seen


def test_a_result_without_digests_is_left_out(tmp_path, remote, url, there):
    run_dir = made(tmp_path / "here")
    write_json(run_dir / "result.json", dict(state="COMPLETE", val_accuracy=99.0))
    (run_dir / "run.json").unlink()
    remote.put_run(run_dir, RUN)
    assert left_out(tmp_path, url) == "its result.json has no SHA-256"


def test_only_the_result_that_is_asked_for_is_fetched(tmp_path, remote):
    run_dir, placed = made(tmp_path / "here"), []
    remote.put_run(run_dir, RUN)
    wanted = digest_of(run_dir / "result.json")
    fault = remote.fetch_run(RUN, tmp_path / "fetched" / RUN, "0" * 64, placed.append)
    assert (fault, placed) == ("its result.json there is not the one that the study has", [])
    assert remote.fetch_run(RUN, tmp_path / "fetched" / RUN, wanted, placed.append) == "" and len(placed) == 1
    assert remote.fetch_run("a/search/001", tmp_path / "fetched/a/search/001", None, placed.append) == "it is not there"


def test_names_that_no_run_has_are_not_fetched(tmp_path, remote, url, there):
    remote.put_run(made(tmp_path / "here"), RUN)
    for name in (".profile", ".hydra/.hidden", "last.ckpt", "a b", "x" * 200):
        (there / name).write_text("foreign")
    (there / ".ssh").mkdir()
    (there / ".ssh/config").write_text("foreign")
    made(tmp_path / "store/s", ".hidden/search/000")
    assert fetch_study(tmp_path / "fetched", url) == []
    assert not [name for name, content in files_below(tmp_path / "fetched").items() if content == b"foreign"]
    assert not (tmp_path / "fetched/.hidden").exists()


def test_a_place_of_another_study_or_of_something_else_is_refused(tmp_path, remote, url):
    remote.keep_study(STUDY | dict(places={}), "1")
    with pytest.raises(UserError, match=rf"^{re.escape(url)} holds another study of this name; give another name="):
        remote.keep_study(STUDY, "2")
    (tmp_path / "store/pictures").mkdir()
    (tmp_path / "store/pictures/cat.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"pictures holds something else \(cat\.png\); give another place"):
        RemoteStudy(f"file://{tmp_path}/store/pictures").keep_study(STUDY, "1")
    (tmp_path / "store/s/study.json").write_text("{")
    with pytest.raises(UserError, match=r"s/study\.json is damaged"):
        remote.keep_study(STUDY, "1")


def test_a_folder_takes_runs_of_its_own_study_alone_and_keeps_those_that_it_has(tmp_path, remote, url):
    remote.put_run(made(tmp_path / "here"), RUN)
    (tmp_path / "store/s/data-0123456789ab.json").write_text("{}")
    other = tmp_path / "other"
    other.mkdir()
    write_json(other / "study.json", STUDY | dict(arms={"a": {"epochs": 30}}))
    with pytest.raises(UserError, match=r"other are not of one study: they differ in a$"):
        fetch_study(other, url)
    write_json(other / "study.json", STUDY)
    begun = other / RUN
    begun.mkdir(parents=True)
    (begun / "run.json").write_text("{}")
    assert fetch_study(other, url) == []
    assert (other / "data-0123456789ab.json").exists() and read_run(begun)["val_accuracy"] == 50
    assert (begun.parent / ".000.superseded-1/run.json").read_text() == "{}"
    own = made(other, accuracy=70)
    assert fetch_study(other, url) == [] and read_run(own)["val_accuracy"] == 70


def test_where_there_is_no_study_the_sentence_says_what_was_expected(tmp_path, url):
    with pytest.raises(UserError, match=r"holds no study; expected what stood behind hydra\.sweeper\.sync=, and /NAME"):
        fetch_study(tmp_path / "fetched", url)
    assert not (tmp_path / "fetched").exists()


def test_a_store_that_cannot_be_reached_is_an_outside_fault_without_its_login(tmp_path):
    remote = RemoteStudy("ftp://me:hunter2@127.0.0.1:1/studies/s")
    with pytest.raises(OutsideFault, match=r"cannot be used \(ConnectionRefusedError: .*\nMend the cause") as error:
        remote.read_study()
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("outputs/store", r"^key=outputs/store: expected the URL of a place that fsspec reaches, such as s3://"),
        ("s4://bucket/studies", r"^key=s4://bucket/studies: expected the URL"),
        ("s3://", r"^key=s3://: expected the URL"),
        ("memory://store", r"^key=memory://store: expected the URL"),
        ("s3://key:hunter2@bucket/x", r"^key=s3://\.\.\.: a URL with a password or a query in it .*AWS_SECRET"),
        ("ftp://me:hunter2@host/x", r"^key=ftp://\.\.\.: a URL with a password"),
        ("abfs://box/x?sig=hunter2", r"^key=abfs://\.\.\.: a URL with a password or a query"),
    ],
)
def test_a_url_that_is_none_or_has_a_secret_is_refused_without_showing_it(url, told):
    with pytest.raises(UserError, match=told) as error:
        check_remote(url, "key")
    assert "hunter2" not in str(error.value)


def test_a_package_that_is_not_here_is_named_with_the_command_that_brings_it():
    script = """
import sys
sys.modules["s3fs"] = None
from headstart.errors import UserError
from headstart.store import check_remote
assert check_remote("file:///store", "key") == "file:///store"
try:
    check_remote("s3://bucket/studies", "key")
except UserError as error:
    print(error)
"""
    said = finish(python(script))
    assert said.strip() == "key=s3://bucket/studies needs a package that is not here: pip install 'headstart[s3]'"
