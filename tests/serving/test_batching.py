"""Pictures of concurrent requests are computed together, and each gets its own answer."""

import asyncio

import numpy as np
import pytest

from headstart.serving.batching import Batcher
from headstart.serving.pool import Pool, WorkerDied


class Slow(Pool):
    """A pool of one worker that takes a while; what it computes of a picture is that picture."""

    def __init__(self, seconds: float = 0.02):
        super().__init__()
        self.seconds, self.batches, self.free, self.asked = seconds, [], asyncio.Lock(), 0

    async def run(self, priority, header, parts):
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
