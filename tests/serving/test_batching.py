"""Pictures of concurrent requests are computed together, and each gets its own answer."""

import asyncio
import time

import numpy as np
import pytest

from headstart.serving.batching import FILES_TOGETHER, Batcher, Decoder
from headstart.serving.pool import Overdue, Pool, WorkerDied


class Slow(Pool):
    """A pool of one worker that takes a while; what it computes of a picture is that picture."""

    def __init__(self, seconds: float = 0.02):
        super().__init__()
        self.seconds, self.batches, self.free, self.asked = seconds, [], asyncio.Lock(), 0

    async def run(self, priority, header, parts, tries=3):
        self.asked += 1
        async with self.free:
            taken = parts()
            if not taken:
                raise asyncio.CancelledError
            self.batches.append(len(taken))
            await asyncio.sleep(self.seconds)
        found = np.array([[float(part), 0.5] for part in taken], np.float32)
        moments = [[float(part)] * 3 for part in taken]
        return {"mean": moments, "square": moments}, found.tobytes()


def batched(numbers, most=4, wait=0.005, pool=None, gaps=None):
    """(batch sizes, answers, what was noted) for pictures that come at once or with gaps in seconds between them."""

    async def work():
        slow, noted = pool or Slow(), []
        batcher = Batcher(slow, most, wait, 1, lambda means, squares: noted.extend(means))

        async def one(number):
            await asyncio.sleep(gaps[number] if gaps else 0)
            return await batcher.predict(str(number).encode())

        found = await asyncio.gather(*map(one, numbers))
        assert slow.asked == len(slow.batches)  # no worker is asked for what another takes
        return found, slow.batches, noted

    answers, sizes, noted = asyncio.run(work())
    assert [answer.probabilities[0] for answer in answers] == list(map(float, numbers))
    return sizes, [answer.batch for answer in answers], noted


def test_pictures_that_come_together_are_computed_together():
    sizes, batches, noted = batched(range(10))
    assert sizes == [4, 4, 2] and batches == [4] * 8 + [2] * 2
    assert [means[0] for means in noted] == list(map(float, range(10)))


def test_a_picture_waits_for_others_no_longer_than_was_said():
    assert batched([0, 1, 2], wait=0.0)[0][0] >= 1
    assert batched(range(3), wait=0.05, gaps=[0, 0.01, 0.02])[0] == [3]
    assert batched(range(3), wait=0.005, pool=None, gaps=[0, 0.2, 0.4])[0] == [1, 1, 1]


def test_what_comes_while_the_worker_computes_is_one_batch():
    assert batched(range(4), wait=0, gaps=[0, 0.01, 0.02, 0.03], most=8)[0][0] == 1
    sizes, _, _ = batched(range(9), wait=0, gaps=[0, *[0.01] * 8], most=8)
    assert sizes == [1, 8]


def test_a_picture_whose_request_has_ended_is_left_out():
    async def work():
        pool = Slow()
        batcher = Batcher(pool, 4, 0.01, 1, lambda *_: None)
        tasks = [asyncio.create_task(batcher.predict(str(number).encode())) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        lonely = asyncio.create_task(batcher.predict(b"9"))
        await asyncio.sleep(0)
        lonely.cancel()
        await asyncio.sleep(0.1)
        assert (await batcher.predict(b"5")).probabilities[0] == 5  # nothing hangs after a batch that was empty
        return found, pool.batches

    found, sizes = asyncio.run(work())
    assert [type(one).__name__ for one in found] == ["Answer", "CancelledError", "Answer"]
    assert sizes == [2, 1]


def test_every_picture_of_a_batch_hears_that_it_failed():
    class Dying(Slow):
        async def run(self, priority, header, parts):
            await super().run(priority, header, parts)
            raise WorkerDied("3 workers ended over it")

    async def work():
        batcher = Batcher(Dying(), 4, 0, 1, lambda *_: None)
        return await asyncio.gather(*(batcher.predict(b"1") for _ in range(3)), return_exceptions=True)

    found = asyncio.run(work())
    assert [type(error) for error in found] == [WorkerDied] * 3
    with pytest.raises(WorkerDied):
        raise found[0]


def test_a_picture_that_nobody_else_can_join_does_not_wait():
    async def work(accepted):
        batcher = Batcher(Slow(0), 4, 0.5, 1, lambda *_: None, lambda: accepted)
        began = time.monotonic()
        await asyncio.gather(batcher.predict(b"1"), batcher.predict(b"2"))
        return time.monotonic() - began, batcher.pool.batches

    seconds, sizes = asyncio.run(work(2))
    assert seconds < 0.4 and sizes == [2]
    seconds, sizes = asyncio.run(work(3))  # one is still decoded
    assert seconds >= 0.5 and sizes == [2]


# ------------------------------------------------------------------------------------------------------------- decoding


class Decoding(Slow):
    """One worker. A file is a picture of four bytes, or begins with: b"x" (no picture), b"die", b"late"."""

    async def run(self, priority, header, parts, tries=3):
        async with self.free:
            files = list(parts())
            if not files:
                raise asyncio.CancelledError
            assert header["sizes"] == [len(file) for file in files]
            self.batches.append((len(files), tries))
            await asyncio.sleep(self.seconds)
        if any(file.startswith(b"late") for file in files):
            raise Overdue("it took longer than 1 s")
        if any(file.startswith(b"die") for file in files):
            raise WorkerDied(f"{tries} workers ended over it")
        bad = {"unread": "no picture", "too_large": False}
        told = [bad if file.startswith(b"x") else {} for file in files]
        return {"files": told}, b"".join(file[:4] for file in files if not file.startswith(b"x"))


def decoded(*files, keep=None):
    """(what became of each file, files and tries of every job) of files that come at once."""

    async def work():
        pool = Decoding()
        decoder = Decoder(pool, 1)
        tasks = [asyncio.create_task(decoder.decode(file)) for file in files]
        await asyncio.sleep(0)
        for place in keep or ():
            tasks[place].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True), pool.batches

    return asyncio.run(work())


def test_files_that_wait_go_to_a_worker_together_and_each_gets_its_own():
    files = [b"x" if number % 3 == 1 else b"%04d" % number for number in range(FILES_TOGETHER + 5)]
    found, jobs = decoded(*files)
    assert [one.unread or one.pixels for one in found] == ["no picture" if f == b"x" else f for f in files]
    assert jobs == [(FILES_TOGETHER, 1), (5, 1)]


def test_a_large_file_goes_alone():
    large = b"0000" + bytes(300_000)
    assert decoded(b"0001", large, b"0002", large)[1] == [(1, 1)] * 4


@pytest.mark.parametrize("content, kind", [(b"die", WorkerDied), (b"late", Overdue)])
def test_files_over_which_a_worker_ends_are_tried_alone(content, kind):
    found, jobs = decoded(b"0001", content, b"0002")
    assert [found[0].pixels, type(found[1]), found[2].pixels] == [b"0001", kind, b"0002"]
    assert jobs == [(3, 1), (1, 3), (1, 3), (1, 3)]
    alone, jobs = decoded(content)
    assert [type(error) for error in alone] == [kind]
    assert jobs == ([(1, 1)] if kind is Overdue else [(1, 1), (1, 3)])  # what takes too long does so once


def test_a_file_whose_request_has_ended_is_not_decoded():
    found, jobs = decoded(b"0001", b"0002", b"0003", keep=[1])
    assert [type(one).__name__ for one in found] == ["Decoded", "CancelledError", "Decoded"] and jobs == [(2, 1)]
    assert decoded(b"0001", keep=[0])[1] == []
