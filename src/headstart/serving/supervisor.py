"""The process that was started: it loads the network, forks all others, and replaces workers that die.

It has one thread, for a fork copies only the thread that calls it, and computes nothing. What it has loaded is shared
by all that it forks: a further worker costs little memory, and one that replaces another is there in milliseconds, with
the weights of the first even where the files have changed since.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headstart.inference import Classifier
from headstart.serving.addresses import address_of, listening
from headstart.serving.backends import onnx_probabilities, onnx_program, whole_layer
from headstart.serving.drift import Drift
from headstart.serving.service import Model
from headstart.serving.settings import Settings
from headstart.serving.worker import Worker

SHORT_LIFE = 0.2  # seconds
MOST_SHORT_LIVES = 10  # one after the other, after which workers are not replaced any more
SECONDS_TO_END = 5.0  # for workers, when the one that talks has ended


def serve(name: str, load: Callable[[], Classifier], settings: Settings, say: Callable[[Model, str], None]) -> int:
    """Serve a network until a signal says that it is enough; return the exit code.

    name: what clients are told that it is called. load: gives the network. say: is called with the model and the
    server's address when it begins.

    Raises:
        UserError: the address is taken or needs a key, or what `load` raises.
    """
    import torch

    torch.set_num_threads(1)  # others would be missing in what is forked
    with listening(settings) as listener:
        classifier = load()
        layer, unexplained = whole_layer(classifier)
        program = onnx_program(classifier) if settings.backend == "onnx" else None
        model = Model(name, classifier.classes, classifier.picture_size, unexplained)
        drift = Drift(classifier.mean, classifier.std)

        def work(connection: socket.socket) -> None:
            answers = classifier.probabilities
            if program is not None:
                answers = onnx_probabilities(classifier, program, settings.threads)
            Worker(classifier, answers, layer, settings.max_pixels, settings.threads).live(connection)

        def talk(control: socket.socket) -> None:
            from headstart.serving.front import Front

            Front(model, settings, drift, drift.meaning(_normalisation(classifier)), listener, control).live()

        say(model, address_of(listener))
        return Supervisor(talk, work, settings.workers, listener).run()


def _normalisation(classifier: Classifier) -> str | None:
    """Whose mean and deviation the run's network was given, by its record."""
    from headstart.store import read_run

    found = read_run(classifier.path).get("normalisation") if classifier.path.is_dir() else None
    return found if isinstance(found, str) else None


@dataclass(eq=False)
class Supervisor:
    """The processes. Connections to workers go to the one that talks, which hears at once when one ends."""

    talk: Callable[[socket.socket], None]
    work: Callable[[socket.socket], None]
    count: int  # workers
    listener: socket.socket
    _began: dict[int, float] = field(default_factory=dict)  # of each worker, by process id
    _front: int = 0
    _short_lives: int = 0
    _stopping: bool = False

    def run(self) -> int:
        """Live until the process that talks has ended; return the exit code."""
        gc.collect()
        gc.freeze()  # a collection would write to each object, and so end the sharing of its memory
        control, theirs = socket.socketpair()
        self._front = fork("serve-front", lambda: self._talk(control, theirs))
        theirs.close()
        self.listener.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        for _ in range(self.count):
            self._start_worker(control)
        code = self._watch(control)
        control.close()
        self._end_workers()
        return code

    def _talk(self, control: socket.socket, theirs: socket.socket) -> None:
        control.close()
        self.talk(theirs)

    def _stop(self, number: int, _: object) -> None:
        self._stopping = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._front, signal.SIGTERM)

    def _start_worker(self, control: socket.socket) -> None:
        ours, theirs = socket.socketpair()

        def live() -> None:
            control.close()
            ours.close()
            self.work(theirs)

        pid = fork("serve-worker", live)
        self._began[pid] = time.monotonic()
        theirs.close()
        with contextlib.suppress(OSError), ours:  # where the one that talks has ended, `_watch` hears of it
            socket.send_fds(control, [json.dumps({"worker": pid}).encode()], [ours.fileno()])

    def _watch(self, control: socket.socket) -> int:
        while True:
            pid, status = os.waitpid(-1, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                self._end_stopped(pid)
                continue
            code = os.waitstatus_to_exitcode(status)
            if pid == self._front:
                if code or not self._stopping:
                    print(f"headstart serve: the process that talks has ended (exit code {code})", file=sys.stderr)
                return 1 if code or not self._stopping else 0
            if (began := self._began.pop(pid, None)) is None:
                continue  # as the first process of a container we are left with children of others
            short = time.monotonic() - began < SHORT_LIFE
            self._short_lives = self._short_lives + 1 if short else 0
            if self._short_lives > MOST_SHORT_LIVES:
                print(f"headstart serve: workers end as soon as they begin (exit code {code})", file=sys.stderr)
                os.kill(self._front, signal.SIGTERM)
                self._short_lives = 0
                return 1
            time.sleep(0.1 * short)
            self._start_worker(control)

    def _end_stopped(self, pid: int) -> None:
        """Kill a worker that a signal has stopped, which is no end: others get what it was doing, and one its place."""
        if pid in self._began:
            print(f"headstart serve: worker {pid} was stopped by a signal, and is replaced", file=sys.stderr)
            os.kill(pid, signal.SIGKILL)

    def _end_workers(self) -> None:
        """Wait for them, which have heard that nobody asks any more; end those that do not end."""
        deadline = time.monotonic() + SECONDS_TO_END
        while self._began:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self._began.pop(pid, None)
            if not pid and time.monotonic() > deadline:
                for worker in self._began:
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0 if pid else 0.01)


def fork(name: str, live: Callable[[], None]) -> int:
    """Have a child live its life, and return its process id. Ctrl-C on a terminal reaches only this process.

    name: what `top` and `ps` show of it, 15 characters.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(name)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        live()
        code = 0
    except OSError:  # the other end of a connection has gone
        code = 3
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
