"""A process that starts ready is, but for the seconds of its imports, one that starts afresh."""

import signal
import subprocess

import pytest
import ready


@pytest.mark.parametrize("words", [["--version"], ["nonsense"], ["weights"], ["cache"]], ids=" ".join)
def test_it_says_and_ends_as_a_fresh_one_does(words, headstart, fresh_headstart):
    one, other = headstart(*words), fresh_headstart(*words)
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
    assert one.stdout or one.stderr


def test_its_folder_and_environment_are_its_own(headstart, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\nlr: ${oc.env:MINE}")
    for rate in ("0.25", "0.5"):
        done = headstart("experiments=mine", "--cfg", "job", "--resolve", environment={"MINE": rate})
        assert f"\nlr: {rate}\n" in done.stdout, done.stderr


def test_it_is_a_process_that_is_waited_for_and_killed(tmp_path):
    words = ["-m", "name=s", "data=digits", "model=cnn", "n_trials=2", "threads=1"]
    process = ready.start(*words, folder=tmp_path, program="toy", environment={"TOY_SECONDS": "60"})
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == process.poll() == process.returncode == -signal.SIGKILL
