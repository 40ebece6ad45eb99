"""A process that has loaded Plumbline once, and forks a child for every command that a test asks for.

Loading torch takes seconds, a fork milliseconds. The child is what a shell would have started: arguments,
folder, environment and streams of its own, and nothing to read from standard input. The other end of the
socket is in ``conftest.py``.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

POLL = 0.002  # seconds


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Answer requests until the other end goes away: then every child is ended, and None returned.

    A request to start something returns twice: here it is answered, and goes on; in the child it is returned,
    for the caller to do.
    """
    children: set[int] = set()
    with connection, connection.makefile(encoding="utf-8") as requests:
        for line in requests:
            request = json.loads(line)
            if "wait" in request:
                answer = _wait(request["wait"], request["seconds"], connection)
                if answer is not None:
                    children.remove(request["wait"])
            else:
                child = os.fork()
                if child == 0:
                    return request
                children.add(child)
                answer = child
            with suppress(BrokenPipeError):
                connection.sendall(f"{json.dumps(answer)}\n".encode())
    for child in children:
        os.kill(child, signal.SIGKILL)  # it was not waited for, so the number is still its own
        os.waitpid(child, 0)
    return None


def _wait(child: int, seconds: float, connection: socket.socket) -> int | None:
    """Return the exit code of a child, negative where a signal ended it; None if it still runs.

    The other end waits for the answer: all that can be read meanwhile is that it has gone.
    """
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        has_gone, _, _ = select.select([connection], [], [], POLL)
        if has_gone or time.monotonic() > deadline:
            return None


def become(request: dict[str, Any]) -> None:
    """Turn this process into the one that was asked for."""
    for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["plumbline", *request["words"]]
    # No two processes have the same draws to begin with.
    np.random.seed(random.SystemRandom().getrandbits(32))  # noqa: NPY002
    torch.seed()
    # Workers are started afresh and load what the command's own process has for its main module.
    sys.modules["__main__"] = command
    exec(request["prelude"], {})  # noqa: S102 - the test's own


def end(code: object) -> None:
    """End this process as the interpreter does, but for taking itself apart, which takes its time."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    # No thread may run here: only the one that forks goes on in the child.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

    import numpy as np
    import torch

    from benchmark import __main__ as command

    if Path("/proc/self/task").is_dir() and len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SystemExit("The fork server must have one thread only.")
    gc.freeze()  # what is shared with the children stays shared
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        become(asked)
        try:
            command.main()
        except SystemExit as ended:
            end(ended.code)
