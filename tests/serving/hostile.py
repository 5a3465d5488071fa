"""Requests of people who mean harm, or whose programs are broken: as bytes for a socket, by name."""

import random
import struct
import zlib
from collections.abc import Iterator

from serving.helpers_serving import coloured, encoded

FILE_LIMIT = 50_000_000  # pixels
BOUNDARY = "b0undary"


def form(content: bytes, name: bytes = b'name="file"; filename="x.png"', more: bytes = b"") -> bytes:
    head = b"--b0undary\r\nContent-Disposition: form-data; " + name + b"\r\n" + more + b"\r\n"
    return head + content + b"\r\n--b0undary--\r\n"


def request(body: bytes, path: str = "/predict", length: int | None = None, headers: str = "", key: str = "") -> bytes:
    first = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n{headers}"
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    return (first + kind + f"Content-Length: {len(body) if length is None else length}\r\n\r\n").encode() + body


def png(width: int, height: int, pixels: bytes, more: bytes = b"") -> bytes:
    """A PNG file of one bit a pixel with these (compressed) pixels, whatever they are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def broken_files() -> Iterator[tuple[str, bytes]]:
    """Files that are no pictures, or too large, or neither."""
    yield "bomb", png(30_000, 30_000, zlib.compress(bytes(30_000 * 3_751)))
    yield "bomb that says it is small", png(8, 8, zlib.compress(bytes(5_000_000)))
    yield "no pixels at all", png(0, 0, b"")
    yield "largest sizes", png(2**31 - 1, 2**31 - 1, b"x")
    text = b"zTXt" + b"a\0\0" + zlib.compress(bytes(50_000_000))
    yield (
        "text that grows",
        png(8, 8, b"", struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))),
    )
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    yield "html", b"<script>alert(1)</script>"
    yield "zip", b"PK\x03\x04" + bytes(100)
    yield "pickle", b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."
    yield "gzip", zlib.compress(bytes(1_000_000))
    yield "empty", b""
    luck = random.Random(0)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        whole = encoded(coloured(1, "red"), kind)
        yield f"{kind} cut", whole[: len(whole) // 2]
        yield f"{kind} head alone", whole[:30]
        for number in range(2):
            content = bytearray(whole)
            for _ in range(40):
                content[luck.randrange(8, len(content))] = luck.randrange(256)
            yield f"{kind} damaged {number}", bytes(content)


def broken_requests(key: str = "") -> Iterator[tuple[str, bytes]]:
    """Requests that are none, or odd ones."""
    good = form(encoded(coloured(1, "red"), "JPEG"))

    def to(*given, **named) -> bytes:
        return request(*given, **named, key=key)

    yield "no request", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
    yield "headers without end", b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000
    yield "a huge header", to(good, headers=f"X-A: {'a' * 60_000}\r\n")
    yield "many headers", to(good, headers="X-A: b\r\n" * 5_000)
    yield "a huge address", to(good, path="/" + "a" * 60_000)
    yield "bytes in the address", b"GET /\xff\xfe\x00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield "another host's address", b"GET http://example.org HTTP/1.1\r\nConnection: close\r\n\r\n"
    yield "a negative length", to(good, length=-1)
    yield "two lengths", to(good, headers="Content-Length: 3\r\n")
    yield "length and chunks", to(good, headers="Transfer-Encoding: chunked\r\n")
    yield "a broken chunk", to(b"zz\r\n", headers="Transfer-Encoding: chunked\r\n").replace(b"Content-Length", b"X")
    yield "less than it says", to(good, length=len(good) + 1_000)[:-10]
    yield "a path upwards", to(good, path="/../../etc/passwd")
    yield "a name upwards", to(form(b"x", b'name="file"; filename="../../../etc/passwd\x00.png"'))
    yield "a name of bytes", to(form(b"x", b'name="file"; filename="\xff\xfe\xed\xa0\x80"'))
    yield "a name without end", to(form(b"x", b'name="file"; filename="' + b"a" * 15_000))
    yield "no name", to(form(b"x", b'filename="x.png"'))
    yield "many parts", to(b"".join(form(b"", b'name="x"').replace(b"--\r\n", b"\r\n") for _ in range(100)))
    yield "headers of a part without end", to(form(b"x", more=b"A: b\r\n" * 2_000))
    yield "an odd character set", to(good, headers="").replace(b"boundary=", b"charset=nosuch; boundary=")
    yield "an upgrade", to(good, headers="Upgrade: websocket\r\n").replace(b"Connection: close", b"Connection: upgrade")
    yield "two requests at once", to(good).replace(b"Connection: close", b"Connection: keep-alive") + to(good)
    yield "a form without parts", to(b"--b0undary--\r\n")
