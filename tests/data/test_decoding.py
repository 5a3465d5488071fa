"""Image files decoded against Pillow: once, whatever kind of file, and every damaged one by name."""

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from data.helpers_data import THREE, draw_image, make_tree
from headstart.data import decoding
from headstart.errors import UserError


def test_unreadable_files_are_all_named(tmp_path, read):
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


def test_an_image_bomb_is_refused_by_its_header(tmp_path, read):
    root = make_tree(tmp_path / "pictures", THREE)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for name, side in (("large", 12_000), ("huge", 60_000)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        (root / f"train/cat/{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.raises(UserError, match=r"(?s)2 of 32.*huge\.png.*large\.png: 12000 x 12000 pixels; at most"):
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
        monkeypatch.setattr(
            decoding, "decode", lambda path, size: decoded.append(path) or (np.zeros((4, 4, 3)), b"", 0)
        )

        def full(folder, blocks, shape):
            next(blocks)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(decoding, "write_images", full)
        monkeypatch.setattr(decoding, "_pool", lambda: decoding.ThreadPoolExecutor(1))
        with pytest.raises(UserError, match="No space left"):
            decoding.decode_once(tmp_path, paths, 4, tmp_path.parent / "elsewhere")
        assert len(decoded) < 200

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
        pixels, _, extent = decoding.decode(path, size)
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
            decoding.decode(tmp_path / "x.tiff", 12)

    def test_formats_that_nobody_expects_are_refused_even_under_another_name(self, tmp_path):
        draw_image(0).save(tmp_path / "x.png", format="PCX")  # stands for EPS, which would start a program
        with pytest.raises(OSError, match="cannot identify"):
            decoding.decode(tmp_path / "x.png", 12)

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
                found = decoding._try_decode(tmp_path, f"x.{suffix}", 12)
                assert f"x.{suffix}: " in found if isinstance(found, str) else found[0].shape == (12, 12, 3)
                lines += [found] if isinstance(found, str) else []
            assert lines
