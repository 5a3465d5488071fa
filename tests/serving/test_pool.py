"""Jobs go to workers that are free, to others when one dies, and not for ever."""

import asyncio
import socket

import pytest

from headstart.serving.messages import packed, read
from headstart.serving.pool import DECODE, EXPLAIN, PREDICT, TRIES, JobFailed, Link, Overdue, Pool, WorkerDied


class Worker:
    """The other end of a connection, as a process would hold it; its script says what it does with each job."""

    def __init__(self, pool: Pool, script):
        self.pool, self.script, self.seen = pool, script, []

    async def live(self):
        ours, theirs = socket.socketpair()
        attending = asyncio.create_task(self.pool.attend(Link(*await asyncio.open_connection(sock=ours))))
        reader, writer = await asyncio.open_connection(sock=theirs)
        writer.writelines(packed({"ready": 1}))
        try:
            while (message := await read(reader)) is not None:
                self.seen.append(bytes(message[1]))
                answer = self.script(message)
                if answer is None:
                    break
                writer.writelines(packed(*answer))
        finally:
            writer.close()
            await attending


async def ended(living):
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)


def echo(message):
    return {"job": message[0]["job"]}, [message[1]]


def die(message):
    return None


def job(name: str, seconds: float = 10):
    return {"job": name, "seconds": seconds}, lambda: [name.encode()]


def test_a_job_is_answered_and_the_more_urgent_one_goes_first():
    async def work():
        pool = Pool()
        jobs = [pool.run(kind, *job(name)) for kind, name in ((EXPLAIN, "e"), (DECODE, "d"), (PREDICT, "p"))]
        waiting = asyncio.gather(*jobs)
        await asyncio.sleep(0)
        worker = Worker(pool, echo)
        living = asyncio.create_task(worker.live())
        answers = await waiting
        await ended(living)
        return answers, worker.seen

    answers, seen = asyncio.run(work())
    assert [bytes(payload) for _, payload in answers] == [b"e", b"d", b"p"]
    assert seen == [b"p", b"d", b"e"]


def test_a_job_whose_worker_dies_goes_to_another_before_what_waits():
    async def work():
        pool = Pool()
        first, second = Worker(pool, die), Worker(pool, echo)
        waiting = asyncio.gather(pool.run(PREDICT, *job("a")), pool.run(PREDICT, *job("b")))
        await asyncio.create_task(first.live())
        assert (pool.died, pool.ready) == (1, set())
        living = asyncio.create_task(second.live())
        await waiting
        await ended(living)
        return first.seen, second.seen

    assert asyncio.run(work()) == ([b"a"], [b"a", b"b"])


def test_a_job_over_which_workers_die_is_given_up_and_the_others_are_answered():
    async def work():
        pool = Pool()
        bad = asyncio.create_task(pool.run(DECODE, *job("bad")))
        good = asyncio.create_task(pool.run(DECODE, *job("good")))
        workers = [Worker(pool, lambda message: die(message) if message[1] == b"bad" else echo(message))]
        both = asyncio.gather(good, bad, return_exceptions=True)
        for _ in range(TRIES + 2):
            workers.append(Worker(pool, workers[0].script))
            living = asyncio.create_task(workers[-1].live())
            await asyncio.wait({living, both}, return_when="FIRST_COMPLETED", timeout=5)
            if both.done():
                break
        await ended(living)
        assert bad.done(), "more workers have died over it than may"
        with pytest.raises(WorkerDied, match=f"{TRIES} workers ended over it"):
            await bad
        return sum(worker.seen.count(b"bad") for worker in workers), (await good)[1]

    assert asyncio.run(work()) == (TRIES, b"good")


def test_a_worker_that_ends_itself_because_time_is_up_is_not_followed_by_another():
    async def work():
        pool = Pool()
        late = asyncio.create_task(pool.run(DECODE, *job("late", seconds=0)))
        await Worker(pool, die).live()
        with pytest.raises(Overdue, match="longer than 0 s"):
            await late

    asyncio.run(work())


def test_what_nobody_waits_for_any_more_is_not_begun_and_mistakes_are_told():
    async def work():
        pool = Pool()
        gone = asyncio.create_task(pool.run(PREDICT, *job("gone")))
        nothing = asyncio.create_task(pool.run(PREDICT, {"job": "nothing", "seconds": 1}, list))
        wrong = asyncio.create_task(pool.run(PREDICT, *job("wrong")))
        await asyncio.sleep(0)
        gone.cancel()
        worker = Worker(pool, lambda message: ({"failed": "ValueError: x"}, []))
        living = asyncio.create_task(worker.live())
        with pytest.raises(JobFailed, match="ValueError: x"):
            await wrong
        assert nothing.cancelled()
        await ended(living)
        return worker.seen

    assert asyncio.run(work()) == [b"wrong"]
