"""A thousand hostile requests, or as many as wanted: seeded, so that what went wrong can be sent again."""

import io
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from serving.helpers_serving import a_picture, coloured, encoded
from serving.hostile import BOUNDARY, form, png, request

LONGEST = 40.0  # seconds for an exchange


@dataclass(frozen=True)
class Attack:
    """What is sent on a connection of its own."""

    kind: str
    parts: tuple[bytes, ...]  # with a pause before each but the first
    pause: float = 0.0  # seconds
    end: str = "wait"  # wait: for the answer; half: say that no more comes, then wait; reset: be gone

    def strike(self, port: int) -> bytes:
        """Send it and return what came back."""
        found = b""
        with socket.create_connection(("127.0.0.1", port), timeout=LONGEST) as connection:
            try:
                for number, part in enumerate(self.parts):
                    time.sleep(self.pause * bool(number))
                    connection.sendall(part)
                if self.end == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return b""
                if self.end == "half":
                    connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65_536):
                    found += more
            except OSError:  # closed by the server before all was sent, or nothing came
                pass
        return found


def storm(seed: int, count: int, key: str) -> list[Attack]:
    """Attacks of all kinds, the kinds in turns."""
    luck = random.Random(seed)
    return [_KINDS[number % len(_KINDS)](luck, key) for number in range(count)]


# ------------------------------------------------------------------------------------------------------------- pictures


@cache
def bombs() -> dict[str, bytes]:
    """Small files of many pixels, beyond the limit of 50,000,000 or just below it."""
    made = {"bomb PNG": png(30_000, 30_000, zlib.compress(bytes(30_000 * 3_751)))}
    wide = Image.new("L", (8_000, 7_000))
    for kind, options in (("GIF", {}), ("TIFF", {"compression": "tiff_deflate"}), ("WEBP", {"method": 0})):
        file = io.BytesIO()
        wide.save(file, kind, **options)
        made[f"bomb {kind}"] = file.getvalue()
    file = io.BytesIO()
    Image.new("L", (7_000, 7_000)).save(file, "PNG")
    made["bomb below the limit"] = file.getvalue()
    frames = [Image.fromarray(np.full((60, 60), n % 256, np.uint8)) for n in range(300)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    made["bomb of frames"] = file.getvalue()
    return made


def _bomb(luck: random.Random, key: str) -> Attack:
    kind = luck.choice(sorted(bombs()))
    return Attack(kind, (request(form(bombs()[kind]), key=key),))


@cache
def _whole(kind: str) -> bytes:
    return encoded(coloured(1, "red"), kind)


def _damaged(luck: random.Random, key: str) -> Attack:
    kind = luck.choice(("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO"))
    content = bytearray(_whole(kind))
    if luck.random() < 0.5:
        content = content[: luck.randrange(len(content))]
        return Attack(f"cut {kind}", (request(form(bytes(content)), key=key),))
    for _ in range(luck.choice((1, 8, 64))):
        content[luck.randrange(len(content))] ^= 1 << luck.randrange(8)
    return Attack(f"flipped {kind}", (request(form(bytes(content)), key=key),))


def _no_picture(luck: random.Random, key: str) -> Attack:
    heads = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"II*\0",
        b"BM",
        b"%PDF",
    )
    heads += (b"<svg ", b"%!PS", b"PK\x03\x04", b"\x80\x04", b"<script>", b"\0\0\0\x20ftypheic", b"icns", b"#define x ")
    content = luck.choice(heads) + luck.randbytes(luck.choice((0, 1, 100, 20_000)))
    return Attack("no picture", (request(form(content), key=key),))


# ---------------------------------------------------------------------------------------------------------------- forms


def _odd_name(luck: random.Random, key: str) -> Attack:
    names = (
        b"\0.png",
        b"../../../etc/passwd",
        b"a" * 5_000,
        b"<script>alert(1)</script>",
        b"\xff\xfe\xed\xa0\x80",
        b"",
    )
    names += (
        b"/dev/zero",
        b'a\\"b',
        b"\xe2\x80\xae gnp.x",
        b"%00",
        b"\r",
        b"CON",
        b"{{7*7}}",
        b"$(id)",
        b"' OR 1=1;--",
    )
    content = luck.choice((a_picture(), b"x"))
    disposition = b'name="file"; filename="' + luck.choice(names) + b'"'
    return Attack("odd name", (request(form(content, disposition), key=key),))


def _odd_form(luck: random.Random, key: str) -> Attack:
    good, other = form(a_picture()), b'name="other"; filename="x.png"'
    part = form(b"x", b'name="file"; filename="x.png"').replace(b"--b0undary--\r\n", b"")
    deep = a_picture()
    for level in range(60):
        mark = f"m{level}".encode()
        deep = (
            b"--"
            + mark
            + b"\r\nContent-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n"
            + deep
            + b"\r\n--"
            + mark
        )
    bodies = {
        "another field": form(a_picture(), other),
        "a text for a file": form(b"x", b'name="file"'),
        "no file": b"--b0undary--\r\n",
        "an empty body": b"",
        "0 bytes": form(b""),
        "many parts": part * luck.choice((17, 300, 2_000)) + b"--b0undary--\r\n",
        "deep": form(deep, more=b"Content-Type: multipart/mixed; boundary=m59\r\n"),
        "no end": good[:-20],
        "another boundary": good.replace(b"b0undary", b"another"),
        "no disposition": good.replace(b"Content-Disposition", b"X"),
        "not UTF-8": form(a_picture(), b'name="\xff\xfe"; filename="\xc3\x28"'),
        "lines of \\n": good.replace(b"\r\n", b"\n"),
        "headers of a part": form(b"x", more=b"X-A: b\r\n" * 3_000),
        "random": luck.randbytes(3_000),
    }
    kind = luck.choice(sorted(bodies))
    return Attack(f"form: {kind}", (request(bodies[kind], key=key),))


def _odd_type(luck: random.Random, key: str) -> Attack:
    good = request(form(a_picture()), key=key)
    types = ("", "image/png", "application/json", "multipart/mixed; boundary=b0undary", "multipart/form-data", "\xff")
    types += ("multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 300}", "text/html", "a/b/c; d")
    types += ("multipart/form-data; charset=nosuch; boundary=b0undary", "application/x-www-form-urlencoded")
    kind = luck.choice(types).encode("latin-1")
    return Attack("odd type", (good.replace(f"multipart/form-data; boundary={BOUNDARY}".encode(), kind, 1),))


# ----------------------------------------------------------------------------------------------------------- transports


def _odd_length(luck: random.Random, key: str) -> Attack:
    body = form(a_picture())
    length = luck.choice((-1, 0, 1, len(body) - 5, len(body) + 5_000, 10**9, 10**30))
    end = luck.choice(("wait", "half")) if length < 10**6 else "wait"
    return Attack("odd length", (request(body, length=length, key=key),), end=end)


def _chunks(luck: random.Random, key: str) -> Attack:
    body = form(a_picture())
    good = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    forms = (
        b"zz\r\n" + body,
        b"-1\r\n\r\n",
        b"ffffffffffffffffff\r\n" + body,
        good[:-7],
        b"0\r\n\r\n",
        b"\r\n\r\n",
        good,
    )
    forms += (b"5;" + b"a" * 20_000 + b"\r\n12345\r\n0\r\n\r\n", b"1\r\na" * 500, b"5\r\n123\r\n0\r\n\r\n")
    sent = request(luck.choice(forms), headers="Transfer-Encoding: chunked\r\n", key=key)
    if luck.random() < 0.7:
        sent = sent.replace(b"Content-Length", b"X-Length", 1)
    return Attack("chunks", (sent,), end=luck.choice(("wait", "half")))


def _odd_headers(luck: random.Random, key: str) -> Attack:
    body = form(a_picture())
    many = {
        "a huge header": f"X-A: {'a' * luck.choice((20_000, 40_000, 200_000))}\r\n",
        "many headers": "X-A: b\r\n" * luck.choice((100, 20_000)),
        "no colon": "X-A b\r\n",
        "an upgrade": "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
        "two keys": "X-API-Key: a\r\nAuthorization: Basic Og==\r\n",
        "expects": "Expect: 100-continue\r\n",
        "a range": "Range: bytes=0-1\r\nIf-None-Match: *\r\n",
    }
    kind = luck.choice(sorted(many))
    return Attack(kind, (request(body, headers=many[kind], key=key),))


def _no_request(luck: random.Random, key: str) -> Attack:
    whole = request(form(a_picture()), key=key)
    kinds = {
        "no HTTP": luck.randbytes(500) + b"\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + luck.randbytes(200),
        "version 9": whole.replace(b"HTTP/1.1", b"HTTP/9.9", 1),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "no host": whole.replace(b"Host: x\r\n", b"", 1),
        "two at once": whole.replace(b"Connection: close", b"Connection: keep-alive", 1) + whole,
        "odd address": whole.replace(
            b"/predict", luck.choice((b"/\xff", b"//", b"/%00", b"*", b"/" + b"a" * 9_000)), 1
        ),
        "odd query": whole.replace(b"/predict", b"/predict?top_k=" + luck.choice(_QUERIES), 1),
        "another key": request(form(a_picture()), key="\xff wrong"),
    }
    kind = luck.choice(sorted(kinds))
    return Attack(kind, (kinds[kind],))


_QUERIES = (b"0", b"-1", b"1e9", b"99999999999999999999", b"a", b"", b"1&top_k=2", b"%ff", b"[]", b"0x10", b"NaN")


def _method(luck: random.Random, key: str) -> Attack:
    method = luck.choice(
        ("GET", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "HEAD", "BREW", "get", "P" * 200)
    )
    path = luck.choice(("/predict", "/explain", "/metrics", "/", "/nothing", "/healthz", "/openapi.json", "/../x"))
    whole = request(form(a_picture()), path=path, key=key)
    return Attack("method", (whole.replace(b"POST", method.encode(), 1),))


def _slow(luck: random.Random, key: str) -> Attack:
    whole = request(form(a_picture()), key=key)
    place = luck.choice((10, 100, len(whole) - 50))
    drops = tuple(whole[n : n + 1] for n in range(place, place + 8))
    return Attack("slow", (whole[:place], *drops), pause=0.1, end=luck.choice(("wait", "half", "reset")))


def _gone(luck: random.Random, key: str) -> Attack:
    whole = request(form(luck.choice((a_picture(), bombs()["bomb below the limit"]))), key=key)
    end = luck.choice(("half", "reset"))
    return Attack(f"gone ({end})", (whole[: luck.choice((0, 1, 60, len(whole) // 2, len(whole)))],), end=end)


def _good(luck: random.Random, key: str) -> Attack:
    return Attack("good", (request(form(a_picture()), key=key),))


_KINDS: tuple[Callable[[random.Random, str], Attack], ...] = (
    _damaged, _no_picture, _odd_form, _odd_name, _odd_type, _odd_length, _chunks, _odd_headers, _no_request, _method,
    _gone, _good, _damaged, _odd_form, _no_request, _odd_name, _bomb, _chunks, _method, _slow,
)  # fmt: skip
