"""submitit asks squeue how jobs are: what it answers, what it no longer knows, and when it does not answer."""

import pytest

submitit = pytest.importorskip("submitit")

from headstart.sweep.cluster.queue_watcher import QueueWatcher  # noqa: E402

SAYS = """#!/bin/sh
echo "$@" >> {folder}/asked
printf '7|RUNNING\\n8|CANCELLED\\n9_1|PENDING\\n9_2|NODE_FAIL\\n50|COMPLETED\\n'
"""


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """`squeue(text)` has the command squeue be that script."""

    def is_now(script):
        path = tmp_path / "squeue"
        path.write_text(script)
        path.chmod(0o755)

    is_now(SAYS.format(folder=tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return is_now


@pytest.mark.parametrize(
    ("job", "state", "is_done"),
    [
        ("7", "RUNNING", False),
        ("8", "CANCELLED", True),
        ("9_1", "PENDING", False),
        ("9_2", "NODE_FAIL", True),
        ("6", "GONE", True),  # minutes after a job's end the controller forgets it
    ],
)
def test_a_job_is_as_squeue_says_and_one_that_is_not_listed_has_ended(squeue, job, state, is_done):
    watcher = QueueWatcher(600)
    assert watcher.get_state(job, mode="force") == state
    assert watcher.is_done(job, mode="force") == is_done


def test_without_an_answer_nothing_is_known(squeue):
    squeue("#!/bin/sh\nexit 1\n")
    watcher = QueueWatcher(600)
    assert not watcher.is_done("7", mode="force")
    assert not watcher.is_done("6", mode="force")


def test_one_question_is_about_all_jobs_and_none_is_asked_without_any(squeue, tmp_path):
    watcher = QueueWatcher(600)
    watcher.update()
    assert not (tmp_path / "asked").exists()
    watcher.register_job("7")
    watcher.register_job("9_1")
    watcher.update()
    assert len((tmp_path / "asked").read_text().splitlines()) == 1
