"""CIFAR's files: torchvision's pictures and labels, shared by all processes, fetched when missing, not replaced."""

import hashlib
import http.server
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from data.helpers_data import BATCHES, ROOT, counts, linked_cifar10, needs_cifar10, positions
from headstart.data import cifar, sources
from headstart.errors import UserError


@pytest.fixture
def own_cache():
    """The cache that the test has for itself."""
    return Path(os.environ["HEADSTART_CACHE"])


@needs_cifar10
class TestCifar10:
    def test_pictures_and_labels_are_torchvisions(self):
        ours = sources.cifar10(ROOT)
        for part, train in ((ours.train, True), (ours.val, True), (ours.test(), False)):
            theirs = datasets.CIFAR10(ROOT, train=train)
            assert np.array_equal(part.images.numpy(), theirs.data[part.indices])
            assert np.array_equal(part.labels.numpy(), np.array(theirs.targets)[part.indices])
            assert part.images.is_contiguous()
        assert ours.classes == tuple(theirs.classes)
        assert positions(ours.train).isdisjoint(positions(ours.val))
        assert counts(ours.train) == [4500] * 10 and counts(ours.val) == [500] * 10
        assert counts(ours.test()) == [1000] * 10

    def test_statistics_of_all_training_pictures_are_the_known_ones(self):
        ours = sources.cifar10(ROOT, validation_size=10)
        assert ours.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
        assert ours.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)

    def test_processes_share_the_pictures(self, own_cache):
        code = f"""
            import os
            from headstart.data import sources
            pictures = sources.cifar10({str(ROOT)!r}, train_size=500)
            test = pictures.test()
            mapped = {{line.split("/")[-2] for line in open("/proc/self/maps") if "images.npy" in line}}
            print(pictures.sha256, len(test.labels), *sorted(mapped))
        """
        words = [sys.executable, "-c", textwrap.dedent(code)]
        first, second = (subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(2))
        entries = sorted(path.name for path in own_cache.glob("cifar10-*"))
        assert [entry.split("-")[1] for entry in entries] == ["test", "train"]
        expected = f"{sources.cifar10(ROOT, train_size=500).sha256} 10000 {' '.join(entries)}\n"
        assert first == second == expected

    @pytest.mark.parametrize("why", ["unwritable", "HEADSTART_CACHE_GB=0"])
    def test_where_nothing_can_be_kept_each_process_reads_its_own_and_says_so(
        self, why, own_cache, tmp_path, monkeypatch, caplog
    ):
        (tmp_path / "file").write_text("")
        caplog.set_level("INFO")
        with monkeypatch.context() as patch:
            if why == "unwritable":
                patch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
            else:
                patch.setenv("HEADSTART_CACHE_GB", "0")
            names, images, labels = cifar.read_part("CIFAR10", str(ROOT), train=False, download=False)
        assert ("file" if why == "unwritable" else why) in caplog.text and "its own copy" in caplog.text
        assert not list(own_cache.iterdir())
        shared = cifar.read_part("CIFAR10", str(ROOT), train=False, download=False)
        assert isinstance(shared[1], np.memmap) and not isinstance(images, np.memmap)
        assert names == shared[0] and np.array_equal(images, shared[1]) and np.array_equal(labels, shared[2])

    def test_without_a_place_for_a_cache_the_data_is_read_all_the_same(self, monkeypatch, caplog):
        caplog.set_level("INFO")
        monkeypatch.setattr("headstart.data.cifar.cache_root", lambda: Path("~nobody-of-this-name").expanduser())
        _, images, _ = cifar.read_part("CIFAR10", str(ROOT), train=False, download=False)
        assert images.shape == (10_000, 32, 32, 3) and "its own copy" in caplog.text

    def test_off_is_no_place_for_a_cache(self, monkeypatch):
        monkeypatch.setenv("HEADSTART_CACHE", "off")
        with pytest.raises(UserError, match="HEADSTART_CACHE=off names no folder"):
            cifar.read_part("CIFAR10", str(ROOT), train=False, download=False)

    @pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
    def test_a_damaged_file_is_named_and_left_as_it_is(self, damage, tmp_path):
        victim = linked_cifar10(tmp_path) / "data_batch_3"
        content = bytearray((BATCHES / "data_batch_3").read_bytes())
        content = {"truncated": content[:1000], "empty": b"", "altered": content}[damage]
        if damage == "altered":
            content[5_000_000] ^= 1
        victim.unlink()
        victim.write_bytes(content)
        with pytest.raises(UserError, match=rf"(?s){victim} is truncated or altered.*delete it"):
            sources.cifar10(tmp_path)
        assert victim.read_bytes() == content
        assert os.listdir(tmp_path) == ["cifar-10-batches-py"]

    def test_a_missing_file_is_not_fetched_when_told_so(self, tmp_path):
        (linked_cifar10(tmp_path) / "test_batch").unlink()
        with pytest.raises(
            UserError, match=r"(?s)data\.download=false.*cifar-10-batches-py.*HEADSTART_DATA.*data\.root="
        ):
            sources.cifar10(tmp_path, download=False)


def layout_of(source):
    """What torchvision's class says about its files, in our words."""
    meta = (source.meta["filename"], source.meta["md5"])
    lists = [tuple(map(tuple, files)) for files in (source.train_list, source.test_list)]
    labels = "fine_labels" if source.meta["key"].startswith("fine") else "labels"
    return cifar.Layout(source.base_folder, *lists, meta, source.meta["key"], labels)


@pytest.mark.parametrize("kind", list(cifar.LAYOUTS))
def test_names_and_sums_of_the_files_are_torchvisions(kind):
    assert cifar.LAYOUTS[kind] == layout_of(getattr(datasets, kind))


@needs_cifar10
def test_reading_what_is_there_imports_no_torchvision():
    code = (
        f"import sys; from headstart.data import sources; sources.cifar10({str(ROOT)!r}); "
        f"print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def can_unshare():
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="needs `unshare -rn` to run without a network")
def test_without_network_the_error_says_what_to_put_where_and_nothing_is_left_behind(tmp_path):
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from headstart.data import sources
        from headstart.errors import UserError
        for source in (sources.cifar10, sources.cifar100):
            try:
                source(sys.argv[1])
            except UserError as error:
                print(error)
        print(sorted(p.name for p in Path(sys.argv[1]).rglob("*") if not p.name.endswith(".lock")))
    """)
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code, tmp_path / "new"], capture_output=True, text=True
    )
    for word in ("CIFAR10 ", "cifar-10-batches-py", "cifar-10-python.tar.gz", "CIFAR100 ", "cifar-100-python.tar.gz"):
        assert word in done.stdout, done.stderr
    assert str(tmp_path / "new") in done.stdout and "HEADSTART_DATA" in done.stdout and "data.root=" in done.stdout
    assert done.stdout.endswith("[]\n")


class TestDownload:
    """CIFAR's reader and fetcher with a small archive of the same layout from a real server on this machine."""

    @pytest.fixture
    def server(self, tmp_path, monkeypatch):
        monkeypatch.setenv("no_proxy", "*")
        served = tmp_path / "served"
        served.mkdir()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(served))

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *args):  # a client that hangs up is part of the tests
                pass

        with Quiet(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield served, f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    @pytest.fixture
    def source(self, server, monkeypatch):
        """torchvision's class with other files, sums and address, under the name that `cifar.read_part` looks up."""
        served, address = server
        draw = np.random.RandomState(0)

        def batch():
            pixels = draw.randint(0, 256, (20, 3072)).astype(np.uint8)
            return pickle.dumps({"data": pixels, "labels": [i % 2 for i in range(20)]})

        files = {"data_batch_1": batch(), "data_batch_2": batch(), "test_batch": batch()}
        files["batches.meta"] = pickle.dumps({"label_names": ["cat", "dog"]})
        with tarfile.open(served / "tiny.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"tiny/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

        def md5(content):
            return hashlib.md5(content).hexdigest()

        class Tiny(datasets.CIFAR10):
            base_folder, filename, url = "tiny", "tiny.tar.gz", f"{address}/tiny.tar.gz"
            tgz_md5 = md5((served / "tiny.tar.gz").read_bytes())
            train_list = [(name, md5(files[name])) for name in ("data_batch_1", "data_batch_2")]  # noqa: RUF012
            test_list = [("test_batch", md5(files["test_batch"]))]  # noqa: RUF012
            meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(files["batches.meta"])}  # noqa: RUF012

        monkeypatch.setattr(datasets, "Tiny", Tiny, raising=False)
        monkeypatch.setitem(cifar.LAYOUTS, "Tiny", layout_of(Tiny))
        return Tiny

    def read(self, root, train=True, download=True):
        return cifar.read_part("Tiny", str(root), train=train, download=download)

    def left(self, root):
        return sorted(path.name for path in root.iterdir() if not path.name.endswith(".lock"))

    def test_what_is_missing_is_downloaded_and_then_read_without_a_server(self, tmp_path, server, source):
        names, pixels, labels = self.read(tmp_path / "new")
        assert names == ("cat", "dog") and pixels.shape == (40, 32, 32, 3) and len(labels) == 40
        (server[0] / "tiny.tar.gz").unlink()
        assert len(self.read(tmp_path / "new", train=False, download=False)[2]) == 20
        assert self.left(tmp_path / "new") == ["tiny"]

    def test_only_missing_files_are_put_into_place(self, tmp_path, source):
        self.read(tmp_path)
        (tmp_path / "tiny" / "data_batch_2").unlink()
        before = {path: path.stat().st_ino for path in (tmp_path / "tiny").iterdir()}
        self.read(tmp_path)
        assert (tmp_path / "tiny" / "data_batch_2").exists()
        assert before.items() <= {path: path.stat().st_ino for path in (tmp_path / "tiny").iterdir()}.items()

    def test_a_damaged_file_is_never_replaced_by_a_download(self, tmp_path, source):
        self.read(tmp_path)
        (tmp_path / "tiny" / "data_batch_1").write_bytes(b"mine")
        with pytest.raises(UserError, match="data_batch_1 is truncated or altered"):
            self.read(tmp_path)
        assert (tmp_path / "tiny" / "data_batch_1").read_bytes() == b"mine"

    @pytest.mark.parametrize("failure", ["cut short", "absent"])
    def test_a_failed_download_leaves_nothing_that_blocks_the_next(self, failure, tmp_path, server, source):
        archive = server[0] / "tiny.tar.gz"
        whole = archive.read_bytes()
        archive.write_bytes(whole[: len(whole) // 2]) if failure == "cut short" else archive.unlink()
        with pytest.raises(UserError, match=r"(?s)tiny\.tar\.gz.*HEADSTART_DATA"):
            self.read(tmp_path / "new")
        assert self.left(tmp_path / "new") == []
        archive.write_bytes(whole)
        assert len(self.read(tmp_path / "new")[2]) == 40

    def test_leftovers_of_a_killed_download_do_not_block_the_next(self, tmp_path, source):
        scratch = tmp_path / ".tiny.unfinished"
        scratch.mkdir()
        (scratch / "tiny.tar.gz").write_bytes(b"half")
        assert len(self.read(tmp_path)[2]) == 40
        assert not scratch.exists()

    def test_an_archive_put_there_by_hand_is_unpacked_without_network(self, tmp_path, server, source):
        root = tmp_path / "new"
        root.mkdir()
        shutil.move(server[0] / "tiny.tar.gz", root)
        assert len(self.read(root)[2]) == 40
        assert self.left(root) == ["tiny", "tiny.tar.gz"]

    def test_a_damaged_archive_put_there_by_hand_is_named_and_left_as_it_is(self, tmp_path, source):
        (tmp_path / "tiny.tar.gz").write_bytes(b"half")
        with pytest.raises(UserError, match=r"(?s)tiny\.tar\.gz is truncated or altered.*delete it"):
            self.read(tmp_path)
        assert (tmp_path / "tiny.tar.gz").read_bytes() == b"half"

    def test_root_that_is_a_file_is_refused(self, tmp_path, source):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"data\.root="):
            self.read(tmp_path / "file")


def test_the_files_of_a_set_are_listed_as_they_were_published():
    listed = cifar.listing("CIFAR10").by_name()
    assert list(listed) == [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]
    assert listed["test_batch"] == "40351d587109b951"
    assert cifar.listing("CIFAR100").key != cifar.listing("CIFAR10").key
