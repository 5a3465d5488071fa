"""Data sources: splits, subsets, what is refused and how, against torchvision, Pillow and scikit-learn."""

import hashlib
import http.server
import io
import logging
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import textwrap
import threading
import zlib
from pathlib import Path

import headstart.conf
import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from torchvision import datasets

from headstart.config import make
from headstart.data import cifar
from headstart.data import decoding as images
from headstart.data import sources as data
from headstart.errors import UserError

ROOT = Path(os.environ.get("HEADSTART_DATA", "nowhere"))
BATCHES = ROOT / "cifar-10-batches-py"
needs_cifar10 = pytest.mark.skipif(not BATCHES.is_dir(), reason="needs CIFAR-10 in the folder named by HEADSTART_DATA")


@pytest.fixture
def own_cache():
    """The cache that the test has for itself."""
    return Path(os.environ["HEADSTART_CACHE"])


def positions(split):
    return set(split.indices.tolist())


def counts(split):
    return torch.bincount(split.labels).tolist()


class TestDigits:
    def test_parts_do_not_overlap_and_cover_every_picture(self):
        digits = data.digits()
        parts = [positions(part) for part in (digits.train, digits.val, digits.test())]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 1797

    def test_pictures_are_scikit_learns_enlarged_four_times(self):
        from sklearn.datasets import load_digits

        bunch = load_digits()
        for part in (data.digits().train, data.digits().test()):
            assert part.images.dtype == torch.uint8 and part.images.shape[1:] == (32, 32, 3)
            assert part.images.is_contiguous() and part.labels.dtype == torch.int64
            assert torch.equal(part.labels, torch.from_numpy(bunch.target[part.indices]))
            source = Image.fromarray(bunch.images[part.indices[0]].astype(np.float32)).resize((32, 32), Image.BILINEAR)
            expected = np.asarray(source) * 255 / 16
            assert np.abs(part.images[0, :, :, 0].numpy() - expected).max() <= 0.51
            assert torch.equal(part.images[..., 0], part.images[..., 2])

    def test_test_part_is_balanced_and_the_same_whatever_the_seed_and_subset(self):
        first, other = data.digits().test(), data.digits(split_seed=7, train_size=100, validation_size=0.3).test()
        assert len(first.labels) == 360 and set(counts(first)) == {35, 36, 37}
        assert torch.equal(first.indices, other.indices) and torch.equal(first.images, other.images)

    def test_split_is_the_one_published(self):
        # Changing these lists would change every number measured on digits.
        digits = data.digits()
        assert digits.test().indices[:5].tolist() == [9, 16, 17, 20, 26]
        assert digits.val.indices[:5].tolist() == [6, 12, 24, 31, 51]

    def test_needs_no_network_and_no_other_source(self):
        code = (
            "import sys; from headstart.data import augmentation, sources as data; "
            "print([m for m in HEAVY if m in sys.modules])"
        )
        code = code.replace("HEAVY", "('torchvision', 'sklearn', 'PIL', 'timm', 'hydra')")
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


class TestSplit:
    def test_validation_is_stratified_and_depends_on_the_split_seed_only(self):
        whole, small = data.digits(validation_size=0.2), data.digits(validation_size=0.2, train_size=50)
        assert torch.equal(whole.val.indices, small.val.indices)
        share = torch.tensor(counts(whole.val)) / (torch.tensor(counts(whole.val)) + torch.tensor(counts(whole.train)))
        assert (share - 0.2).abs().max() < 0.01
        assert len(whole.val.labels) == round(0.2 * 1437)
        assert positions(whole.val) != positions(data.digits(validation_size=0.2, split_seed=1).val)

    @pytest.mark.parametrize("seed", [0, 1])
    def test_smaller_subsets_lie_within_larger_ones_with_as_many_of_each_class(self, seed):
        sizes = [10, 50, 100, 500, 1000]
        subsets = [data.digits(train_size=size, split_seed=seed).train for size in sizes]
        for size, part in zip(sizes, subsets, strict=True):
            assert counts(part) == [size // 10] * 10
        for small, large in zip(subsets, [*subsets[1:], data.digits(split_seed=seed).train], strict=True):
            assert positions(small) < positions(large)

    def test_subset_is_another_one_for_another_split_seed(self):
        assert positions(data.digits(train_size=50).train) != positions(data.digits(train_size=50, split_seed=1).train)

    def test_classes_are_renumbered_in_the_order_given_in_every_part(self):
        whole, some = data.digits(), data.digits(classes=["7", 2], validation_size=40)
        assert some.classes == ("7", "2")
        original = {}
        for part in (whole.train, whole.val, whole.test()):
            original |= dict(zip(part.indices.tolist(), part.labels.tolist(), strict=True))
        for part in (some.train, some.val, some.test()):
            assert {original[i] for i in part.indices.tolist()} == {7, 2}
            assert [original[i] for i in part.indices.tolist()] == [[7, 2][label] for label in part.labels.tolist()]

    def test_a_class_keeps_its_order_when_others_are_left_out(self):
        one, other = data.digits(classes=[3, 4], train_size=20), data.digits(classes=[4, 9], train_size=20)
        picked = [set(d.train.indices[d.train.labels == label].tolist()) for d, label in ((one, 1), (other, 0))]
        held = [set(d.val.indices[d.val.labels == label].tolist()) for d, label in ((one, 1), (other, 0))]
        assert len(picked[0] & picked[1]) > 5
        assert len(held[0] & held[1]) == min(map(len, held))

    def test_fingerprint_tells_data_sets_apart_and_knows_the_same_one(self):
        variants = [{}, {"split_seed": 1}, {"train_size": 50}, {"classes": [0, 1]}, {"classes": [1, 0]}]
        prints = [data.digits(**{"validation_size": 0.2} | variant).sha256 for variant in variants]
        assert len(set(prints)) == len(prints)
        assert prints[0] == data.digits(validation_size=0.2).sha256

    def test_statistics_are_those_of_the_pictures_trained_on(self):
        digits = data.digits(train_size=50)
        pixels = digits.train.images.double() / 255
        assert digits.mean == pytest.approx(pixels.mean((0, 1, 2)).tolist(), abs=1e-12)
        assert digits.std == pytest.approx(pixels.std((0, 1, 2), correction=0).tolist(), abs=1e-12)

    def test_test_part_is_not_read_before_it_is_asked_for(self):
        part = data.Part.whole(np.zeros((40, 4, 4, 3), np.uint8), np.arange(40) % 2)
        calls = []
        dataset = data.assemble(
            "x",
            ("a", "b"),
            part,
            lambda: calls.append(1) or part,
            classes=None,
            train_size=None,
            validation_size=10,
            split_seed=0,
        )
        assert not calls
        assert len(dataset.test().labels) == 40 and len(calls) == 1
        assert min(dataset.std) > 0  # black pictures must not be divided by zero

    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            ({"train_size": 15}, "train_size=15 is no multiple of 10.*Give 10 or 20"),
            ({"train_size": 5000}, r"train_size=5000 is more than \d+.*Give \d+, or null"),
            ({"train_size": 0}, "train_size=0 is not positive.*Give 10 or 20"),
            ({"train_size": -10}, "train_size=-10 is not positive.*Give 10 or 20"),
            ({"train_size": "all"}, "train_size=all: give a whole number, a multiple of 10, or null"),
            ({"train_size": float("nan")}, "train_size=nan: give a whole"),
            ({"train_size": [100]}, r"train_size=\[100\]: give a whole"),
            ({"train_size": True}, "train_size=True: give a whole"),
            ({"train_size": 50.0}, "train_size=50.0: give a whole"),
            ({"validation_size": 0}, "validation_size=0 cannot.*1 to 1436"),
            ({"validation_size": 1437}, "validation_size=1437 cannot"),
            ({"validation_size": 9}, "validation_size=9 does not fit.*Give 10 to 14"),
            ({"validation_size": 1430}, "validation_size=1430 does not fit.*Give 10 to 14"),
            ({"validation_size": 1.5}, "validation_size=1.5"),
            ({"validation_size": True}, "validation_size=True"),
            ({"classes": ["0", "zero"]}, "no class 'zero'; give positions 0 to 9 or: 0, 1, 2"),
            ({"classes": [0, 10]}, "no class 10"),
            ({"classes": [0, -1]}, "no class -1"),
            ({"classes": [3]}, "two or more"),
            ({"classes": []}, "two or more"),
            ({"classes": [3, "3"]}, "3 more than once"),
            ({"classes": "3"}, r"is no list.*data\.classes=\["),
            ({"split_seed": -1}, "split_seed=-1"),
            ({"split_seed": 2**32}, "split_seed="),
        ],
    )
    def test_impossible_choices_are_refused_with_what_to_type(self, choice, message):
        with pytest.raises(UserError, match=f"(?s){message}"):
            data.digits(**choice)

    def test_a_list_as_a_size_is_refused_before_any_file_is_looked_for(self, tmp_path):
        for choice in ({"train_size": [100]}, {"validation_size": [100]}):
            with pytest.raises(UserError, match="is a list; give one number"):
                data.cifar10(tmp_path, **choice)

    def test_sizes_named_in_a_refusal_work(self):
        for size in (10, 1436):
            try:
                data.digits(validation_size=size)
            except UserError as error:
                low, high = str(error).split("Give ")[1].split(",")[0].split(" to ")
                assert len(data.digits(validation_size=int(high)).val.labels) == int(high)
                assert len(data.digits(validation_size=int(low)).val.labels) == int(low)

    def test_unknown_class_gets_a_guess(self):
        with pytest.raises(UserError, match=r"; did you mean cat\? Give positions 0 to 1 or"):
            data.choose_classes(("cat", "dog"), ("catt", "dog"))

    def test_a_name_wins_over_a_position(self):
        assert data.choose_classes(("0", "10", "2"), (2, 10)) == [2, 1]


@needs_cifar10
class TestCifar10:
    def test_pictures_and_labels_are_torchvisions(self):
        ours = data.cifar10(ROOT)
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
        ours = data.cifar10(ROOT, validation_size=10)
        assert ours.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
        assert ours.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)

    def test_is_read_once_per_process(self):
        assert data.cifar10(ROOT, train_size=500) is data.cifar10(str(ROOT), train_size=500)

    def test_processes_share_the_pictures(self, own_cache):
        code = f"""
            import os
            from headstart.data import sources as data
            pictures = data.cifar10({str(ROOT)!r}, train_size=500)
            test = pictures.test()
            mapped = {{line.split("/")[-2] for line in open("/proc/self/maps") if "images.npy" in line}}
            print(pictures.sha256, len(test.labels), *sorted(mapped))
        """
        words = [sys.executable, "-c", textwrap.dedent(code)]
        first, second = (subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(2))
        entries = sorted(path.name for path in own_cache.glob("cifar10-*"))
        assert [entry.split("-")[1] for entry in entries] == ["test", "train"]
        expected = f"{data.cifar10(ROOT, train_size=500).sha256} 10000 {' '.join(entries)}\n"
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
            names, images, labels = cifar.read("CIFAR10", str(ROOT), train=False, download=False)
        assert ("file" if why == "unwritable" else why) in caplog.text and "its own copy" in caplog.text
        assert not list(own_cache.iterdir())
        shared = cifar.read("CIFAR10", str(ROOT), train=False, download=False)
        assert isinstance(shared[1], np.memmap) and not isinstance(images, np.memmap)
        assert names == shared[0] and np.array_equal(images, shared[1]) and np.array_equal(labels, shared[2])

    def test_without_a_place_for_a_cache_the_data_is_read_all_the_same(self, monkeypatch, caplog):
        caplog.set_level("INFO")
        monkeypatch.setattr("headstart.store.cache_paths.cache_root", lambda: Path("~nobody-of-this-name").expanduser())
        _, images, _ = cifar.read("CIFAR10", str(ROOT), train=False, download=False)
        assert images.shape == (10_000, 32, 32, 3) and "its own copy" in caplog.text

    def test_off_is_no_place_for_a_cache(self, monkeypatch):
        monkeypatch.setenv("HEADSTART_CACHE", "off")
        with pytest.raises(UserError, match="HEADSTART_CACHE=off names no folder"):
            cifar.read("CIFAR10", str(ROOT), train=False, download=False)

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
            data.cifar10(tmp_path)
        assert victim.read_bytes() == content
        assert os.listdir(tmp_path) == ["cifar-10-batches-py"]

    def test_a_missing_file_is_not_fetched_when_told_so(self, tmp_path):
        (linked_cifar10(tmp_path) / "test_batch").unlink()
        with pytest.raises(
            UserError, match=r"(?s)data\.download=false.*cifar-10-batches-py.*HEADSTART_DATA.*data\.root="
        ):
            data.cifar10(tmp_path, download=False)


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
        f"import sys; from headstart.data import sources as data; data.cifar10({str(ROOT)!r}); "
        f"print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def linked_cifar10(root):
    folder = root / BATCHES.name
    folder.mkdir()
    for path in BATCHES.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


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
        from headstart.data import sources as data
        from headstart.errors import UserError
        for source in (data.cifar10, data.cifar100):
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
        """torchvision's class with other files, sums and address, under the name that `cifar.read` looks up."""
        import pickle

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
        return cifar.read("Tiny", str(root), train=train, download=download)

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


def draw_image(seed, size=(12, 12), mode="RGB"):
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8), mode=None)


def make_tree(root, layout):
    """layout: {"train/cat": 5, ...} pictures, all different."""
    seed = 0
    for folder, count in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            draw_image(seed).save(root / folder / f"{i:03}.png")
            seed += 1
    return root


THREE = {f"{part}/{name}": n for part, n in (("train", 8), ("val", 3), ("test", 4)) for name in ("cat", "dog")}


@pytest.fixture
def read(tmp_path):
    def read(root=tmp_path / "pictures", **choices):
        return data.folder(root, **{"size": 12, "cache": tmp_path / "cache"} | choices)

    return read


class TestFolder:
    def test_given_parts_are_used_as_they_are(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        ours = read()
        assert ours.classes == ("cat", "dog") and ours.name == "pictures"
        for part, split in (("train", ours.train), ("val", ours.val), ("test", ours.test())):
            files = sorted((root / part).rglob("*.png"))
            assert split.indices.tolist() == list(range(len(files)))
            for path, picture, label in zip(files, split.images, split.labels, strict=True):
                assert np.array_equal(picture, np.asarray(Image.open(path)))
                assert ours.classes[label] == path.parent.name

    @pytest.mark.parametrize(
        ("layout", "expected"),
        [
            ({"cat": 50, "dog": 50}, (72, 8, 20)),
            ({"train/cat": 50, "train/dog": 50}, (72, 8, 20)),
            ({"train/cat": 50, "train/dog": 50, "test/cat": 5, "test/dog": 5}, (90, 10, 10)),
            ({"train/cat": 50, "train/dog": 50, "val/cat": 5, "val/dog": 5}, (80, 10, 20)),
            ({"train": 50, "plane": 50}, (72, 8, 20)),  # a class that is called train
        ],
    )
    def test_parts_that_are_missing_are_split_off_train(self, layout, expected, tmp_path, read):
        make_tree(tmp_path / "pictures", layout)
        ours = read()
        parts = (ours.train, ours.val, ours.test())
        assert tuple(len(part.labels) for part in parts) == expected
        assert all(len(set(counts(part))) == 1 for part in parts)
        pictures = torch.cat([part.images for part in parts]).flatten(1).unique(dim=0)
        assert len(pictures) == sum(expected)
        assert torch.equal(read(split_seed=1).test().indices, ours.test().indices)

    def test_choices_work_as_for_the_other_sources(self, tmp_path, read):
        make_tree(tmp_path / "pictures", {"cat": 30, "dog": 30, "emu": 30})
        ours = read(classes=["emu", "cat"], train_size=10, validation_size=0.5, test_size=0.1)
        assert ours.classes == ("emu", "cat")
        assert counts(ours.train) == [5, 5] and counts(ours.test()) == [3, 3]

    @pytest.mark.parametrize("key", ["validation_size", "test_size"])
    @pytest.mark.parametrize("size", [0, 0.0, False])
    def test_a_part_of_no_pictures_is_refused(self, tmp_path, read, key, size):
        make_tree(tmp_path / "pictures", {"cat": 10, "dog": 10})
        with pytest.raises(UserError, match=rf"data\.{key}={size} cannot be taken"):
            read(**{key: size})

    def test_a_size_for_a_part_that_is_given_is_refused(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        for key in ("validation_size", "test_size"):
            with pytest.raises(UserError, match=rf"data\.{key}=null"):
                read(**{key: 2})

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            ({}, "holds no folders of images"),
            ({"cat": 0, "dog": 0}, "holds no folders of images"),
            ({"cat": 5}, r"one class \(cat\)"),
            ({"cat": 5, "dog": 0}, "dog holds no images"),
            ({"train/cat": 5}, r"one class \(cat\)"),
            ({"test/cat": 5, "test/dog": 5}, "holds test but no train"),
            ({"val/cat": 5, "val/dog": 5, "test/cat": 5, "test/dog": 5}, "holds val and test but no train"),
            ({"train/cat": 5, "train/dog": 5, "test": 5}, "test holds no images|test.*no class folders"),
            ({"train/cat": 5, "train/dog": 5, "valid/cat": 5, "valid/dog": 5}, "also valid"),
            ({"train/cat": 5, "train/dog": 5, "test/cat": 5}, "class dog is in train but not in test"),
            (
                {"train/cat": 5, "train/dog": 5, "val/cat": 1, "val/dog": 1, "val/emu": 1},
                "emu is in val but not in train",
            ),
            ({"cat": 1, "dog": 5}, "smallest"),
            ({"cat\nx": 5, "dog": 5}, "cannot be printed"),
        ],
    )
    def test_trees_that_cannot_be_used_are_refused(self, layout, message, tmp_path, read):
        (tmp_path / "pictures").mkdir()
        make_tree(tmp_path / "pictures", layout)
        with pytest.raises(UserError, match=message):
            read()

    def test_a_root_that_does_not_exist_is_refused(self, tmp_path, read):
        with pytest.raises(UserError, match=r"data\.root=.*nowhere is no folder"):
            read(tmp_path / "nowhere")

    def test_unreadable_files_are_all_named(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        (root / "train/cat/text.png").write_text("no picture")
        (root / "train/dog/empty.jpg").write_bytes(b"")
        whole = (root / "val/cat/000.png").read_bytes()
        (root / "val/cat/000.png").write_bytes(whole[: len(whole) // 2])
        (root / "test/dog/gone.png").symlink_to(root / "nowhere.png")
        (root / "test/dog/script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
        with pytest.raises(UserError, match=r"^5 of 34 images .* cannot be read") as error:
            read()
        for name in ("train/cat/text.png", "train/dog/empty.jpg", "val/cat/000.png", "gone.png", "script.png"):
            assert name in str(error.value)
        assert not list((tmp_path / "cache").glob("folder-*"))

    def test_an_image_bomb_is_refused_by_its_header(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        for name, side in (("large", 12_000), ("huge", 60_000)):
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
            (root / f"train/cat/{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
        with pytest.raises(UserError, match=r"(?s)2 of 32.*huge\.png.*large\.png: 12000 x 12000 pixels; at most"):
            read()

    def test_other_files_hidden_files_and_tool_folders_are_left_out(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", {"cat": 20, "dog": 20})
        for name in (
            "cat/Thumbs.db",
            "cat/._000.png",
            "README.txt",
            ".git/x.png",
            "__MACOSX/y.png",
            "cat/.cache/z.png",
        ):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("no picture")
        (root / "dog/deeper").mkdir()
        draw_image(999).save(root / "dog/deeper/UPPER.PNG")
        ours = read(test_size=4, validation_size=4)
        assert ours.classes == ("cat", "dog")
        assert sum(len(part.labels) for part in (ours.train, ours.val, ours.test())) == 41


class TestCopies:
    def tree(self, tmp_path, source, target):
        root = make_tree(tmp_path / "pictures", THREE)
        Image.open(root / source).save(root / target)  # the same pixels in another kind of file
        return root

    @pytest.mark.parametrize("part", ["train", "val"])
    def test_copies_between_test_and_the_rest_are_refused_by_name_unless_allowed(self, part, tmp_path, read):
        self.tree(tmp_path, f"{part}/cat/001.png", "test/dog/copy.bmp")
        with pytest.raises(
            UserError, match=r"(?s)1 of 9 test pictures.*test/dog/copy\.bmp.*data\.allow_duplicates=true"
        ):
            read()
        assert len(read(allow_duplicates=True).test().labels) == 9

    def test_copies_between_train_and_validation_are_warned_of(self, tmp_path, read, caplog):
        self.tree(tmp_path, "train/cat/001.png", "val/cat/copy.bmp")
        read()
        assert "1 training pictures lie" in caplog.text

    def test_copies_within_train_are_no_fault(self, tmp_path, read, caplog):
        self.tree(tmp_path, "train/cat/001.png", "train/cat/copy.bmp")
        read()
        assert not [r.message for r in caplog.records if r.levelno >= logging.WARNING]

    def test_copies_torn_apart_by_our_own_split_are_refused(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", {"cat": 20, "dog": 20})
        for path in sorted(root.rglob("*.png")):
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
        with pytest.raises(UserError, match="exact copies"):
            read()


class TestCache:
    def entry(self, tmp_path):
        (found,) = (tmp_path / "cache").glob("folder-*")
        return found

    def test_pictures_are_decoded_once(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        first = read()
        before = (self.entry(tmp_path) / "images.npy").stat()
        second = read()
        after = (self.entry(tmp_path) / "images.npy").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert first.sha256 == second.sha256

    def test_user_tree_is_not_written_to(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        before = sorted(root.rglob("*"))
        read()
        assert sorted(root.rglob("*")) == before
        with pytest.raises(UserError, match=r"data\.cache=.*outside"):
            read(cache=root / "cache")

    @pytest.mark.parametrize("change", ["replaced", "replaced with old times", "added", "removed", "size"])
    def test_a_change_is_noticed(self, change, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        for path in root.rglob("*.png"):
            Image.open(path).save(path.with_suffix(".bmp"))  # all of one length, so that only times tell
            path.unlink()
        first, victim = read(), root / "train/cat/003.bmp"
        times = victim.stat()
        if change == "removed":
            victim.unlink()
        elif change == "added":
            draw_image(998).save(victim.with_name("new.bmp"))
        elif change.startswith("replaced"):
            draw_image(999).save(victim)
            if change.endswith("old times"):
                os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert read(size=14 if change == "size" else 12).sha256 != first.sha256
        assert len(list((tmp_path / "cache").glob("folder-*"))) == 2

    @pytest.mark.parametrize("name", ["images.npy", "facts.npz"])
    @pytest.mark.parametrize("damage", ["flipped", "truncated", "removed"])
    def test_a_damaged_cache_is_made_again(self, name, damage, tmp_path, read, caplog):
        make_tree(tmp_path / "pictures", THREE)
        first = read()
        pictures = first.test().images
        path = self.entry(tmp_path) / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        if damage == "removed":
            path.unlink()
        else:
            path.write_bytes(content if damage == "flipped" else content[:100])
        again = read()
        assert again.sha256 == first.sha256
        assert torch.equal(again.test().images, pictures)

    def test_leftovers_of_a_killed_process_are_removed(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        read()
        entry = self.entry(tmp_path)
        entry.rename(tmp_path / "cache" / f".{entry.name}.unfinished")
        (tmp_path / "cache" / f".{entry.name}.unfinished" / "images.npy").write_bytes(b"half")
        assert len(read().train.labels) == 16
        assert [p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock")] == [entry.name]

    def test_what_cannot_be_read_now_is_not_taken_for_damaged(self, tmp_path, read, monkeypatch):
        make_tree(tmp_path / "pictures", THREE)
        read()
        entry = self.entry(tmp_path)
        before = (entry / "images.npy").stat().st_ino
        with monkeypatch.context() as patch:
            patch.setattr(np, "load", lambda *a, **k: (_ for _ in ()).throw(OSError(12, "Cannot allocate memory")))
            with pytest.raises(UserError, match="Cannot allocate memory"):
                read()
        assert (entry / "images.npy").stat().st_ino == before

    def test_a_full_disk_ends_the_decoding(self, tmp_path, monkeypatch):
        paths, decoded = [f"{number}.png" for number in range(200)], []
        for path in paths:
            draw_image(1).save(tmp_path / path)
        monkeypatch.setattr(images, "decode", lambda path, size: decoded.append(path) or (np.zeros((4, 4, 3)), b"", 0))

        def full(folder, blocks, shape):
            next(blocks)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(images, "write_images", full)
        monkeypatch.setattr(images, "_pool", lambda: images.ThreadPoolExecutor(1))
        with pytest.raises(UserError, match="No space left"):
            images.load(tmp_path, paths, 4, tmp_path.parent / "elsewhere")
        assert len(decoded) < 200

    def test_the_cache_that_the_environment_names_is_the_one_for_features_too(self, tmp_path, monkeypatch):
        """Empty means not set, `off` is refused, as everywhere; never a folder `off` where the command was typed."""
        node = OmegaConf.load(Path(headstart.conf.__path__[0]) / "data/folder.yaml")
        node.update(root=str(make_tree(tmp_path / "tree", {"cat": 20, "dog": 20})), split_seed=0)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        for value, where in (("", tmp_path / "xdg/headstart"), (str(tmp_path / "mine"), tmp_path / "mine")):
            monkeypatch.setenv("HEADSTART_CACHE", value)
            make(node)
            assert list(where.glob("folder-*")), value
        monkeypatch.setenv("HEADSTART_CACHE", "off")
        with pytest.raises(UserError, match="HEADSTART_CACHE=off names no folder"):
            make(node)
        assert {path.name for path in tmp_path.iterdir()} <= {"xdg", "mine", "tree"}

    def test_a_cache_that_cannot_be_written_is_named(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"data\.cache=.*cannot be written.*data\.cache=FOLDER"):
            read(cache=tmp_path / "file")

    def test_pictures_in_memory_outlive_the_cache(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        ours = read()
        shutil.rmtree(tmp_path / "cache")
        assert ours.train.images.sum() > 0 and len(ours.test().images) == 8


class TestDecode:
    def decode(self, path, size):
        pixels, _, extent = images.decode(path, size)
        assert pixels.dtype == np.uint8 and pixels.shape == (size, size, 3)
        return pixels, extent

    def test_a_square_picture_of_the_size_wanted_is_unchanged(self, tmp_path):
        draw_image(0).save(tmp_path / "x.png")
        pixels, extent = self.decode(tmp_path / "x.png", 12)
        assert np.array_equal(pixels, np.asarray(draw_image(0))) and extent == (12, 12)

    @pytest.mark.parametrize("size", [8, 24])
    def test_the_largest_centred_square_is_resized(self, size, tmp_path):
        picture = draw_image(0, (40, 20))
        picture.save(tmp_path / "x.png")
        expected = picture.crop((10, 0, 30, 20)).resize((size, size), Image.Resampling.BILINEAR)
        assert np.array_equal(self.decode(tmp_path / "x.png", size)[0], np.asarray(expected))

    def test_grey_goes_into_all_channels(self, tmp_path):
        draw_image(0, mode="L").save(tmp_path / "x.png")
        pixels, _ = self.decode(tmp_path / "x.png", 12)
        assert all(np.array_equal(pixels[..., c], np.asarray(draw_image(0, mode="L"))) for c in range(3))

    @pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
    def test_16_bit_grey_is_scaled_to_8_bit(self, suffix, tmp_path):
        values = np.linspace(0, 65535, 144).astype(np.uint16).reshape(12, 12)
        Image.fromarray(values).save(tmp_path / f"x.{suffix}")
        pixels, _ = self.decode(tmp_path / f"x.{suffix}", 12)
        assert np.array_equal(pixels[..., 0], np.round(values / 257).astype(np.uint8))

    def test_transparent_pixels_lie_on_white(self, tmp_path):
        values = np.asarray(draw_image(0, mode="RGBA")).copy()
        values[:6, :, 3], values[6:, :, 3] = 0, 255
        Image.fromarray(values).save(tmp_path / "x.png")
        pixels, _ = self.decode(tmp_path / "x.png", 12)
        assert (pixels[:6] == 255).all() and np.array_equal(pixels[6:], values[6:, :, :3])

    def test_palettes_are_resolved_transparent_ones_too(self, tmp_path):
        picture = draw_image(0).quantize(8)
        picture.save(tmp_path / "x.png")
        assert np.array_equal(self.decode(tmp_path / "x.png", 12)[0], np.asarray(picture.convert("RGB")))
        picture.save(tmp_path / "y.png", transparency=3)
        pixels, _ = self.decode(tmp_path / "y.png", 12)
        clear = np.asarray(picture) == 3
        assert clear.any() and (pixels[clear] == 255).all()
        assert np.array_equal(pixels[~clear], np.asarray(picture.convert("RGB"))[~clear])

    @pytest.mark.parametrize("mode", ["1", "CMYK"])
    def test_other_kinds_become_rgb(self, mode, tmp_path):
        picture = draw_image(0).convert(mode)
        picture.save(tmp_path / "x.tiff")
        assert np.array_equal(self.decode(tmp_path / "x.tiff", 12)[0], np.asarray(picture.convert("RGB")))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation_is_undone(self, orientation, tmp_path):
        undone = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM]
        undone += [Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE]
        undone = [*undone, Image.Transpose.ROTATE_90][orientation - 1]
        exif = Image.Exif()
        exif[0x0112] = orientation
        draw_image(0).save(tmp_path / "x.png", exif=exif)
        expected = draw_image(0) if undone is None else draw_image(0).transpose(undone)
        assert np.array_equal(self.decode(tmp_path / "x.png", 12)[0], np.asarray(expected))

    def test_32_bit_pixels_are_refused(self, tmp_path):
        Image.fromarray(np.ones((12, 12), np.float32)).save(tmp_path / "x.tiff")
        with pytest.raises(ValueError, match="32-bit"):
            images.decode(tmp_path / "x.tiff", 12)

    def test_formats_that_nobody_expects_are_refused_even_under_another_name(self, tmp_path):
        draw_image(0).save(tmp_path / "x.png", format="PCX")  # stands for EPS, which would start a program
        with pytest.raises(OSError, match="cannot identify"):
            images.decode(tmp_path / "x.png", 12)

    def test_first_picture_of_an_animation_is_taken(self, tmp_path):
        frames = [draw_image(i).quantize(16) for i in range(3)]
        frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
        assert np.array_equal(self.decode(tmp_path / "x.gif", 12)[0], np.asarray(frames[0].convert("RGB")))

    def test_random_damage_never_escapes_as_anything_but_a_report(self, tmp_path):
        draw = np.random.RandomState(0)
        for suffix in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
            draw_image(1, (40, 30)).save(tmp_path / f"whole.{suffix}")
            whole = (tmp_path / f"whole.{suffix}").read_bytes()
            lines = []
            for i in range(30):
                content = bytearray(whole)
                for place in draw.randint(0, len(content), 1 + i % 8):
                    content[place] = draw.randint(256)
                (tmp_path / f"x.{suffix}").write_bytes(content[: draw.randint(len(content)) if i % 3 == 0 else None])
                pixels, text, _ = images._try_decode(tmp_path, f"x.{suffix}", 12)
                assert (pixels is None) == (isinstance(text, str) and f"x.{suffix}: " in text)
                lines += [text] if pixels is None else []
            assert lines


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "conf/data").glob("*.yaml")), ids=lambda p: p.stem)
def test_yaml_gives_every_key_of_its_source_with_its_default(path):
    import inspect

    keys = yaml.safe_load(path.read_text())
    signature = inspect.signature(getattr(data, keys.pop("_target_").removeprefix("headstart.data.sources.")))
    assert set(keys) == set(signature.parameters)
    for key, value in keys.items():
        if not str(value).startswith("${"):
            assert value == signature.parameters[key].default, key
