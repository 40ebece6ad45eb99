"""The settings that the work needs, whatever a caller has set, and the caller's own afterwards.

Default dtype and device, gradients, mixed precision and NumPy's error handling are global to a process or
a thread: a notebook that works in float64, or calls from within ``torch.no_grad()``, would get other numbers,
or none. What draws data, works out truths, trains, or runs a method enters here.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def own_settings(*, threads: int | None = None) -> Iterator[None]:
    """Work with the project's own settings; afterwards everything is as it was, random states included.

    Args:
        threads: of torch. On one, sums have one order, whatever the machine and the number of workers. None
            for as many as there are.
    """
    dtype, n_threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    draws, numpy_draws = random.getstate(), np.random.get_state()  # noqa: NPY002 - others may use it
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(mode=True))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        stack.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(warnings.catch_warnings())
        if torch.get_default_device().type != "cpu":
            # Only where it is needed: it looks at every call of torch.
            stack.enter_context(torch.device("cpu"))
        try:
            torch.set_default_dtype(torch.float32)
            if threads is not None and threads != n_threads:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != n_threads:
                torch.set_num_threads(n_threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
            random.setstate(draws)
            np.random.set_state(numpy_draws)  # noqa: NPY002
