"""What the tests of the command line share: words to type, and what a refusal looks like."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from headstart.config.overrides import key_of


def tiny(*words: str) -> list[str]:
    """Those of TINY that the words leave open, then the words."""
    keys = {key_of(w) for w in words}
    return [*(t for t in TINY if key_of(t) not in keys), *words]


def refused(code: int, text: str, words: str) -> None:
    """Assert a refusal in one to three lines that holds `words` (a regular expression)."""
    assert code == 1, text
    assert "Traceback" not in text
    assert "Error executing job" not in text
    message = text[text.index("headstart: ") :]  # a log line about decoding may stand before it
    assert 1 <= len(message.strip().splitlines()) <= 3, text
    assert re.search(words, text), text


CAN_UNSHARE = subprocess.run(["unshare", "-rmn", "true"], capture_output=True, check=False).returncode == 0
needs_unshare = pytest.mark.skipif(not CAN_UNSHARE, reason="unshare is not permitted here")


def isolated(script: str, folder: Path) -> subprocess.CompletedProcess:
    """Run shell lines without network and with their own mounts; H is the command, h that with TINY."""
    command = f'"{sys.executable}" -c "from headstart.cli.main import main; main()"'
    script = f'H() {{ {command} "$@"; }}; h() {{ H {" ".join(TINY)} "$@"; }}\n{script}'
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = ["unshare", "-rmn", "bash", "-c", script]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
