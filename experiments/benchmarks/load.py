"""Clients of a prediction server, as many as wanted, in one process of their own: every request is counted.

    python experiments/benchmarks/load.py --port 8000 --clients 64 --seconds 5 --pictures folder

Each client has one connection that stays open, sends a picture as a form's field `file`, waits for the whole answer
and sends the next; which comes when depends on the server alone (a closed loop). After `--seconds` no more is sent, and
what was sent is waited for. Raw sockets and epoll, since an HTTP library would take longer than the servers do. Prints
one JSON object: requests sent, answered by status, and lost (the connection ended before the answer did, or none came
in a minute); answers that say something else of a picture than the first one did; latencies in milliseconds from the
first byte sent to the last one received; and the share of a core that this process took, which says whether it was what
was measured.
"""

import argparse
import json
import re
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BOUNDARY = "31c0a7d1f5b84b0c"
LONGEST_ANSWER = 60.0  # seconds, after which a request counts as lost


def request_of(name: str, content: bytes, path: str = "/predict", headers: tuple[str, ...] = ()) -> bytes:
    """A POST of one file as a browser would send it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    lines += [f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(eq=False)
class Client:
    """One connection, and the request that is under way on it."""

    port: int
    number: int
    connection: socket.socket | None = None
    out: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytearray = field(default_factory=bytearray)
    expected: int = 0  # bytes of the answer, once its headers are there
    began: float = 0.0
    name: str = ""

    def connect(self) -> None:
        self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_ANSWER)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setblocking(False)

    def answer(self) -> tuple[int, bytes] | None:
        """(status, body) once all of it is there."""
        if not self.expected:
            end = self.received.find(b"\r\n\r\n")
            found = LENGTH.search(self.received, 0, end + 2) if end >= 0 else None
            self.expected = end + 4 + int(found[1]) if found else 0
        if not self.expected or len(self.received) < self.expected:
            return None
        return int(self.received[9:12]), bytes(self.received[self.received.find(b"\r\n\r\n") + 4 : self.expected])


@dataclass(eq=False)
class Load:
    """All clients, and what became of their requests."""

    port: int
    requests: list[tuple[str, bytes]]  # file name and request, taken in turns
    sent: int = 0
    lost: int = 0
    statuses: Counter = field(default_factory=Counter)
    bodies: list[tuple[str, bytes]] = field(default_factory=list)  # file name and body of what was answered with 200
    seconds: list[float] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self, clients: int, seconds: float) -> float:
        """Keep `clients` busy for `seconds`; return how long it was until the last answer."""
        begin = time.perf_counter()
        deadline = begin + seconds
        busy = set()
        for number in range(clients):
            client = Client(self.port, number)
            client.connect()
            self.selector.register(client.connection, selectors.EVENT_READ, client)
            self._send(client)
            busy.add(client)
        while busy and time.perf_counter() < deadline + LONGEST_ANSWER:
            for key, events in self.selector.select(1.0):
                client = key.data
                done = self._write(client) if events & selectors.EVENT_WRITE else False
                done = self._read(client) if events & selectors.EVENT_READ and not done else done
                if done and time.perf_counter() < deadline:
                    self._send(client)
                elif done:
                    busy.discard(client)
                    self.selector.unregister(client.connection)
                    client.connection.close()
        self.lost += len(busy)
        return time.perf_counter() - begin

    def _send(self, client: Client) -> None:
        client.name, request = self.requests[self.sent % len(self.requests)]
        client.out, client.expected, client.began = memoryview(request), 0, time.perf_counter()
        client.received.clear()
        self.sent += 1
        self._write(client)

    def _write(self, client: Client) -> bool:
        """Send what can be sent; whether the connection has ended."""
        try:
            while client.out:
                client.out = client.out[client.connection.send(client.out) :]
        except BlockingIOError:
            pass
        except OSError:
            return self._lose(client)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        if self.selector.get_key(client.connection).events != wanted:
            self.selector.modify(client.connection, wanted, client)
        return False

    def _read(self, client: Client) -> bool:
        """Receive what is there; whether the request is over."""
        try:
            data = client.connection.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            return self._lose(client)
        client.received += data
        if (answer := client.answer()) is None:
            return False
        self.seconds.append(time.perf_counter() - client.began)
        self.statuses[answer[0]] += 1
        if answer[0] == 200:
            self.bodies.append((client.name, answer[1]))
        return True

    def _lose(self, client: Client) -> bool:
        self.lost += 1
        self.selector.unregister(client.connection)
        client.connection.close()
        client.connect()
        self.selector.register(client.connection, selectors.EVENT_READ, client)
        return True


def probability(body: bytes) -> tuple[str, float]:
    """(class, probability) of an answer, ours or one of the peers'."""
    told = json.loads(body)
    told = told["predictions"][0] if "predictions" in told else told
    return told["class"], told["probability"]


def described(load: Load, taken: float, cpu: float) -> dict[str, float | dict]:
    """What is printed of a load that took `taken` seconds and `cpu` seconds of this process."""
    ordered = sorted(load.seconds)
    at = {f"p{share}_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}
    first: dict[str, tuple[str, float]] = {}
    wrong = 0
    for name, body in load.bodies:  # in batches of another size the last digits differ
        told, expected = probability(body), first.setdefault(name, probability(body))
        wrong += told[0] != expected[0] or abs(told[1] - expected[1]) > 1e-3
    return dict(
        sent=load.sent, answered=dict(load.statuses), lost=load.lost, wrong=wrong, seconds=taken,
        requests_per_second=load.statuses[200] / taken, **at, own_core=cpu / taken,
        first={name: told for name, told in sorted(first.items())},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pictures", type=Path, required=True, help="the folder of the files to send")
    parser.add_argument("--path", default="/predict")
    options = parser.parse_args()
    files = sorted(options.pictures.iterdir())
    load = Load(options.port, [(f.name, request_of(f.name, f.read_bytes(), options.path)) for f in files])
    cpu = time.process_time()
    taken = load.run(options.clients, options.seconds)
    print(json.dumps(described(load, taken, time.process_time() - cpu)))


if __name__ == "__main__":
    main()
