"""A server of S3's kind, moto's, for tests, which `make s3` runs in an environment of their own."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from sweep.postgres import free_port

needs_s3 = pytest.mark.skipif(
    find_spec("moto") is None or find_spec("s3fs") is None, reason="needs what make s3 installs"
)


@dataclass
class S3Server:
    """One on loopback, which forgets everything when it stops."""

    port: int
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Serve, from now on."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen(command, env=os.environ | self.environment, **quiet)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, "moto does not answer"
                time.sleep(0.1)

    def stop(self) -> None:
        """End it, and forget its buckets."""
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """By which s3fs finds it; the key is any."""
        keys = dict(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="hunter2", AWS_DEFAULT_REGION="us-east-1")
        return keys | dict(AWS_ENDPOINT_URL=self.url)

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()


def s3_server() -> S3Server:
    """One on a port that nobody listens on, not yet started."""
    return S3Server(free_port())
