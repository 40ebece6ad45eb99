"""The command as a user types it, in processes of its own that start in milliseconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("fork_server.py")


@dataclass(frozen=True)
class Running:
    """A command that was started.

    Attributes:
        pid: of its process; meant until `wait` has returned.
        words: what was typed.
        streams: files that get its output and its errors.
        server: who waits for it.
    """

    pid: int
    words: tuple[str, ...]
    streams: tuple[Path, Path]
    server: ForkServer

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; if it has ended already, nothing happens."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Return its exit code (negative: the signal that ended it), output and errors, once it has ended.

        Raises:
            subprocess.TimeoutExpired: if it has not ended in time; it is killed.
        """
        code = self.server.ask(wait=self.pid, seconds=timeout)
        if code is None:
            self.kill()
            self.server.ask(wait=self.pid, seconds=60)
            raise subprocess.TimeoutExpired(self.words, timeout, *self.texts())
        return subprocess.CompletedProcess(self.words, code, *self.texts())

    def texts(self) -> tuple[str, str]:
        """Return its output and its errors so far."""
        return tuple(file.read_text(encoding="utf-8") for file in self.streams)


class ForkServer:
    """Starts commands as children of a process that has loaded Plumbline already; see ``fork_server.py``.

    Args:
        folder: where the outputs go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._n = 0
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C ends pytest, and with it the server and its children.
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-P", "-W", "error", str(SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        self._stream = ours.makefile("rw", encoding="utf-8")

    def __call__(self, *words: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as ``subprocess.run`` would."""
        return self.start(*words, cwd=cwd).wait(timeout)

    def start(self, *words: str, cwd: Path, prelude: str = "") -> Running:
        """Start a command in the environment of this moment.

        Args:
            words: what a user types behind ``plumbline``.
            cwd: where.
            prelude: Python code that its process runs first (its workers do not).
        """
        self._n += 1
        streams = tuple(self._folder / f"{self._n}.{name}" for name in ("out", "err"))
        pid = self.ask(
            words=list(words),
            cwd=str(cwd),
            env=dict(os.environ),
            stdout=str(streams[0]),
            stderr=str(streams[1]),
            prelude=prelude,
        )
        return Running(pid, words, streams, self)

    def ask(self, **request: Any) -> Any:
        """Return the server's answer to a request."""
        self._stream.write(json.dumps(request) + "\n")
        self._stream.flush()
        return json.loads(self._stream.readline())

    def close(self) -> None:
        """End the server, and with it every command that was not waited for."""
        self._stream.close()
        self._socket.close()
        self._process.wait(60)


@pytest.fixture(scope="session")
def plumbline(tmp_path_factory) -> Iterator[ForkServer]:
    """Return a function that runs the command, and has a `start` for one that is to be disturbed."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    server = ForkServer(tmp_path_factory.mktemp("outputs"))
    yield server
    server.close()
