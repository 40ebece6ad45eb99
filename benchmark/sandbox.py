"""Work in a process of its own: what a method does there, or fails to do, costs its own result and no other.

The process is forked, so it has the data and the trained network without copying them, and whatever it
changes is gone with it. It can be ended from outside, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from benchmark.streams import flush

_CHUNK = 2**16
_POLL = 0.5  # seconds
_LARGEST = 2**31  # bytes of an answer; importances are a few hundred, maps of large images many millions


class SandboxError(Exception):
    """The work gave no answer; the message says why, with the traceback where there is one."""


class SandboxTimeoutError(SandboxError):
    """The work did not end in time and was ended."""


def is_available() -> bool:
    """Return whether work can be done apart on this system: it needs fork."""
    return hasattr(os, "fork")


def apart(work: Callable[[], Any], *, timeout: float | None = None) -> Any:
    """Do the work in a process of its own and return its answer.

    Args:
        work: returns what JSON can hold. Whatever else it changes is lost.
        timeout: seconds after which it is ended, with all processes that it started; None for no limit.

    Raises:
        SandboxTimeoutError: if it did not end in time.
        SandboxError: if it raised, ended its process, or was killed.
    """
    # What is still in a buffer would be written twice.
    flush()
    reader, writer = os.pipe()
    start = time.monotonic()
    child, status = 0, 0
    try:
        with _interrupts_waiting():
            child = os.fork()
            if child == 0:
                os.close(reader)
                _answer(work, writer)
            os.close(writer)
            writer = -1
        answer, in_time = _read(reader, child, None if timeout is None else start + timeout)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
        if child > 0:
            _end(child)
            status = os.waitpid(child, 0)[1]
    if not in_time:
        raise SandboxTimeoutError(f"It did not end within {timeout:g} s and was ended.")
    try:
        kind, value = json.loads(answer)
    except ValueError:
        raise SandboxError(f"It gave no answer: {_fate(status)}.") from None
    if kind != "answer":
        raise SandboxError(value)
    return value


@contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended.

    Python runs callbacks when it forks, and what is raised in them is lost: an interrupt would do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts are the main thread's
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(signal.SIGINT, None)


def _answer(work: Callable[[], Any], writer: int) -> NoReturn:
    """Do the work and write its answer; never return to the caller's code, which is the parent's."""
    code = 1
    try:
        os.setsid()  # a group of its own: it can be ended with all that it starts, and Ctrl-C is the parent's
        os.dup2(2, 1)  # what it prints is no part of what the command prints, which programs may read
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
        try:
            data = json.dumps(["answer", work()]).encode()
        except BaseException as error:  # noqa: BLE001 - SystemExit included: it is told, not obeyed
            data = json.dumps(["error", "".join(traceback.format_exception(error))]).encode()
        while data:
            data = data[os.write(writer, data) :]
        flush()
        code = 0
    finally:
        os._exit(code)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _read(reader: int, child: int, deadline: float | None) -> tuple[bytes, bool]:
    """Return all that the child writes until it closes or ends, and whether it did before the deadline."""
    parts, size = [], 0
    waiting = selectors.PollSelector()  # select.select knows the first 1,024 open files only
    waiting.register(reader, selectors.EVENT_READ)
    while True:
        if size > _LARGEST:
            raise SandboxError(f"Its answer is larger than {_LARGEST >> 20} MiB.")
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return b"", False
        if not waiting.select(_POLL if left is None else min(left, _POLL)):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break  # what the child started may keep the pipe open after it
            continue
        part = os.read(reader, _CHUNK)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if part.endswith(b"]") and _is_whole(parts):
            break  # a process that the work left running keeps the pipe open
    return b"".join(parts), True


def _is_whole(parts: list[bytes]) -> bool:
    try:
        json.loads(b"".join(parts))
    except ValueError:
        return False
    return True


def _end(child: int) -> None:
    """End the child and everything in its group; what has ended already is no error."""
    for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _fate(status: int) -> str:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hint = "; out of memory, perhaps" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended itself with exit code {os.WEXITSTATUS(status)}"
