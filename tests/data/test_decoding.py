"""Image files decoded against Pillow: once, whatever kind of file, and every damaged one by name."""

import io
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
from headstart.data.picture_files import formats
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


def test_a_damaged_file_has_the_same_pixels_on_disk_and_in_memory(tmp_path):
    file = io.BytesIO()
    draw_image(1, size=(24, 20), mode="L").save(file, "TIFF")
    rows = struct.pack("<HHII", 0x0116, 4, 1, 20)  # in a strip, of which there is one
    assert rows in file.getvalue()
    content = file.getvalue().replace(rows, struct.pack("<HHII", 0x0116, 4, 1, 1))
    (tmp_path / "x.tif").write_bytes(content)
    on_disk, in_memory = decoding.decode(tmp_path / "x.tif", 12), decoding.decode(io.BytesIO(content), 12)
    assert np.array_equal(on_disk[0], in_memory[0]) and on_disk[1:] == in_memory[1:]


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

    def test_what_is_left_out_is_part_of_the_key(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE | {"train/cat/@eaDir": 1})
        read()
        (root / "train/cat/@eaDir").rename(root / "train/cat/more")
        assert len(read().train.labels) == 17
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
            decoding, "decode", lambda path, size: decoded.append(path) or (np.zeros((4, 4, 3), np.uint8), b"", 0)
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

    @pytest.mark.parametrize("suffix", ["jfif", "jpe", "avif", "jp2", "qoi", "tga", "dib", "pbm", "mpo"])
    def test_whatever_pillow_decodes_is_decoded(self, suffix, tmp_path):
        kind = {"jfif": "JPEG", "jp2": "JPEG2000", "pbm": "PPM"}.get(suffix)
        more = dict(save_all=True, append_images=[draw_image(1, (24, 24))]) if suffix == "mpo" else {}
        draw_image(0, (24, 24)).save(tmp_path / f"x.{suffix}", format=kind, **more)
        with Image.open(tmp_path / f"x.{suffix}") as picture:
            expected = picture.convert("RGB")
        assert np.array_equal(self.decode(tmp_path / f"x.{suffix}", 24)[0], np.asarray(expected))

    def test_heic_is_decoded_where_its_library_is_installed(self, tmp_path):
        pytest.importorskip("pillow_heif")
        formats()
        Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "x.heic", format="HEIF")
        pixels, extent = self.decode(tmp_path / "x.heic", 8)
        assert extent == (32, 32) and abs(pixels.mean((0, 1)) - (200, 30, 30)).max() < 4

    def test_lab_becomes_rgb(self, tmp_path):
        picture = Image.new("LAB", (12, 12), (200, 128, 128))  # a light grey
        picture.save(tmp_path / "x.tiff")
        assert np.ptp(self.decode(tmp_path / "x.tiff", 12)[0].mean((0, 1))) < 3

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


def png_with(kind, body, crc=None):
    """A PNG file with one more chunk behind its header."""
    content = encoded("PNG")
    chunk = kind + body
    crc = zlib.crc32(chunk) if crc is None else crc
    return content[:33] + struct.pack(">I", len(body)) + chunk + struct.pack(">I", crc) + content[33:]


def jpeg_with(marker, body):
    """A JPEG file with one more segment at its beginning."""
    content = encoded("JPEG")
    return content[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + content[2:]


def encoded(kind, **options):
    buffer = io.BytesIO()
    draw_image(0, (24, 24)).save(buffer, kind, **options)
    return buffer.getvalue()


class TestOddBlocks:
    """What is wrong about anything but the pixels is no matter."""

    @pytest.mark.parametrize(
        "content",
        [
            png_with(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2_000_000))),  # more than Pillow reads
            png_with(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2_000_000))),
            png_with(b"iCCP", b"profile\0\x07"),
            png_with(b"gAMA", b""),
            png_with(b"tEXt", b"key\0value", crc=0),
            png_with(b"eXIf", b"no EXIF at all"),
            png_with(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        ],
    )
    def test_of_a_png(self, content, tmp_path):
        (tmp_path / "x.png").write_bytes(content)
        assert np.array_equal(decoding.decode(tmp_path / "x.png", 24)[0], np.asarray(draw_image(0, (24, 24))))

    @pytest.mark.parametrize(
        ("marker", "body"),
        [
            (0xE0, b"JFIF\0"),
            (0xE1, b"Exif\0\0no EXIF at all"),
            (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
            (0xE2, b"ICC_PROFILE\0\1\1no profile"),
            (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
            (0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed"),
            (0xEE, b"Adobe"),
            (0xFE, b"\xff\xfe comment"),
        ],
    )
    def test_of_a_jpeg(self, marker, body, tmp_path):
        (tmp_path / "x.jpg").write_bytes(jpeg_with(marker, body))
        expected = Image.open(io.BytesIO(encoded("JPEG")))
        assert np.array_equal(decoding.decode(tmp_path / "x.jpg", 24)[0], np.asarray(expected))

    @pytest.mark.parametrize("exif", [b"Exif\0\0no EXIF at all", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"x"])
    def test_of_a_webp(self, exif, tmp_path):
        (tmp_path / "x.webp").write_bytes(encoded("WEBP", exif=exif, lossless=True))
        assert np.array_equal(decoding.decode(tmp_path / "x.webp", 24)[0], np.asarray(draw_image(0, (24, 24))))

    def test_of_an_avif(self, tmp_path):
        exif = Image.Exif()
        exif[0x010E] = "a description"
        whole = encoded("AVIF", exif=exif.tobytes())
        place = whole.rindex(b"MM\0*")
        (tmp_path / "x.avif").write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
        expected = Image.open(io.BytesIO(encoded("AVIF"))).convert("RGB")
        assert np.array_equal(decoding.decode(tmp_path / "x.avif", 24)[0], np.asarray(expected))

    @pytest.mark.parametrize("broken", [b"gAMA", None])
    def test_the_rotation_that_can_be_read_counts_all_the_same(self, broken, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        whole = encoded("PNG", exif=exif.tobytes())
        chunk = b"" if broken is None else struct.pack(">I", 0) + broken + struct.pack(">I", zlib.crc32(broken))
        (tmp_path / "x.png").write_bytes(whole[:33] + chunk + whole[33:])
        expected = draw_image(0, (24, 24)).transpose(Image.Transpose.ROTATE_270)
        assert np.array_equal(decoding.decode(tmp_path / "x.png", 24)[0], np.asarray(expected))

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_damaged_pixels_are_still_an_error(self, kind, tmp_path):
        content = png_with(b"gAMA", b"") if kind == "PNG" else jpeg_with(0xEE, b"Adobe")
        (tmp_path / "x").write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises((OSError, SyntaxError)):
            decoding.decode(tmp_path / "x", 24)
