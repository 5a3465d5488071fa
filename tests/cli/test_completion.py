"""Tab completion knows the verbs and the files behind them, and leaves the rest to Hydra."""

import subprocess
import sys

import pytest


@pytest.fixture
def completed(command, monkeypatch):
    """`completed(line)` returns what the shell would be told that the line, or its part before `at`, may become."""

    def run(line: str, at: int | None = None, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line) if at is None else at))
        code, printed, text = command("-sc", f"query={shell}")
        assert (code, text) == (0, "")
        return printed.split()

    return run


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_first_word_becomes_a_verb_or_what_hydra_knows(completed, shell):
    everything = completed("headstart ", shell=shell)
    assert {"report", "weights", "cache", "model=", "lr="} <= set(everything)
    assert completed("headstart rep", shell=shell) == ["report", "reported="]
    assert completed("headstart model=fa", shell=shell) == ["model=fan"]


def test_later_words_and_flags_are_hydras_alone(completed):
    assert "report" not in completed("headstart lr=1 rep")
    assert completed("headstart -m rep") == ["reported="]


def test_behind_a_verb_come_files_and_folders(completed, tmp_path):
    (tmp_path / "outputs/quickstart").mkdir(parents=True)
    (tmp_path / "outputs/two words").mkdir()
    (tmp_path / "outputs/.hidden").mkdir()
    (tmp_path / "digits.safetensors").touch()
    assert completed("headstart report ") == ["digits.safetensors", "outputs/"]
    assert completed("headstart report outputs/") == ["outputs/quickstart/"]
    assert completed("headstart weights export ou") == ["outputs/"]
    assert completed("headstart report ou --tables", at=len("headstart report ou")) == ["outputs/"]
    assert completed("headstart report nowhere/x") == completed("headstart report ~nobody-here/") == []
    assert completed(f"headstart report {tmp_path}/o") == [f"{tmp_path}/outputs/"]


def test_a_folder_of_ones_own_options_is_completed_and_so_are_they(completed, tmp_path):
    for name in ("model/mine", "experiments/mine"):
        (tmp_path / "conf" / name).parent.mkdir(parents=True)
        (tmp_path / "conf" / f"{name}.yaml").write_text("lr: 1")
    assert completed("headstart --config-dir co") == completed("headstart -cd co") == ["conf/"]
    assert completed("headstart --config-dir") == completed("headstart -cd") == []
    for flag in ("--config-dir conf", "--config-dir=conf", "-cd conf/"):
        assert completed(f"headstart {flag} model=mi") == ["model=mine"]
        assert completed(f"headstart -m {flag} experiments=mi") == ["experiments=mine"]
    assert completed("headstart --config-dir nowhere model=fa") == ["model=fan"]


def test_a_real_bash_completes_verbs_and_folders(tmp_path):
    (tmp_path / "outputs").mkdir()
    program = tmp_path / "bin" / "headstart"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom headstart.cli.main import main\nmain()\n")
    program.chmod(0o755)
    script = """PATH=$PWD/bin:$PATH
eval "$(headstart -sc install=bash)"
tab() {
  COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($1)
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  hydra_bash_completion
  echo "${COMPREPLY[@]}"
}
tab "headstart wei"
tab "headstart report out"
complete -p headstart"""
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:2] == ["weights", "outputs/"], done.stderr
    assert done.stdout.splitlines()[2].endswith("headstart") and done.stderr == ""
