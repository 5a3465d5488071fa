"""Whose words are said when a command does not go on; and a closed pipe is told to the command."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.cli.console import lost_output, refuse, stdout_console


def test_a_closed_pipe_is_an_error_that_the_command_sees():
    reads, writes = os.pipe()
    os.close(reads)
    out = os.fdopen(writes, "w", buffering=1)
    with pytest.raises(BrokenPipeError):
        stdout_console(file=out).print("text")
    with contextlib.suppress(BrokenPipeError):  # of what is left in its buffer
        out.close()


def test_a_refusal_names_the_command_and_is_exit_code_1(capsys):
    assert refuse("no") == 1
    assert refuse("nor this", "headstart report") == 1
    assert capsys.readouterr() == ("", "headstart: no\nheadstart report: nor this\n")


def test_what_was_typed_is_not_repeated_without_end(capsys):
    refuse(f"lr={'x' * 6000} is no number; write lr=1e-3")
    assert len(capsys.readouterr().err) < 150


def test_an_error_that_is_not_of_the_machine_is_raised_as_it_is():
    for error in (OSError(errno.EACCES, "forbidden", "a/file"), OSError(errno.ENOENT, "gone")):
        with pytest.raises(OSError) as raised:
            lost_output(error)
        assert raised.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "full", "a/file"), "disk full: a/file could not be written."),
        (OSError(errno.EMFILE, "many", "a/file"), "Too many open files: a/file could not be read or written."),
    ],
)
def test_what_the_disk_or_the_system_fails_is_said_in_a_sentence(error, said, capsys):
    assert lost_output(error) == 1
    assert capsys.readouterr().err.startswith(f"headstart: {said}")


ASCII = dict(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")


@pytest.mark.parametrize(
    ("words", "out", "further", "code", "said"),
    [
        (["report", "study"], "told.txt", ASCII, 0, ""),
        (["report", "study"], "/dev/full", {}, 1, "headstart: stdout could not be written: No space left on device\n"),
        (["--help"], "/dev/full", {}, 1, "headstart: stdout could not be written: No space left on device\n"),
    ],
)
def test_whatever_stdout_is_a_command_ends_without_traceback(words, out, further, code, said, tmp_path):
    if out == "/dev/full" and not Path(out).exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/study.json").write_text('{"question": "größer ± 1 %?"}')
    script = (
        "import headstart.report.figures as f; f.draw_all = lambda *_: []\nfrom headstart.cli.main import main; main()"
    )
    with open(tmp_path / out, "w") as stdout:
        command = [sys.executable, "-c", script, *words]
        options = dict(stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
        done = subprocess.run(command, env=os.environ | further, **options)
    assert (done.returncode, done.stderr) == (code, said)
