"""Whatever a caller has set, the numbers are the same, and what the caller has set stays set."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import benchmark
import methods
import synthetic
from benchmark import models
from benchmark.diagnosis import diagnose
from benchmark.models.checks import check_model
from benchmark.training import fidelity, fit
from methods.checks import run_checks


@contextmanager
def _set(get: Callable[[], object], put: Callable[[object], object], value: object) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def _dtype(value: torch.dtype) -> AbstractContextManager[None]:
    return _set(torch.get_default_dtype, torch.set_default_dtype, value)  # pyright: ignore[reportArgumentType]


@contextmanager
def _errors(**how: str) -> Iterator[None]:
    with np.errstate(**how):  # pyright: ignore[reportArgumentType]
        yield


WORLDS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "default dtype float64": lambda: _dtype(torch.float64),
    "default dtype bfloat16": lambda: _dtype(torch.bfloat16),
    "default dtype float16": lambda: _dtype(torch.float16),
    "no gradients": torch.no_grad,
    "gradients switched off": lambda: _set(torch.is_grad_enabled, torch.set_grad_enabled, value=False),
    "inference mode": torch.inference_mode,
    "mixed precision": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "mixed precision of half floats": lambda: torch.autocast("cpu", dtype=torch.float16),
    "another default device": lambda: torch.device("meta"),
    "another default device, set": lambda: _set(
        torch.get_default_device, torch.set_default_device, torch.device("meta")
    ),
    "search for anomalies": lambda: torch.autograd.set_detect_anomaly(mode=True),
    "NumPy raises": lambda: _errors(all="raise"),
    "NumPy is silent": lambda: _errors(all="ignore"),
    "no gradients and float64": lambda: _both(torch.no_grad(), _dtype(torch.float64)),
}


@contextmanager
def _both(*worlds: AbstractContextManager[object]) -> Iterator[None]:
    first, second = worlds
    with first, second:
        yield


def _state() -> dict[str, object]:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "anomalies": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "NumPy": np.geterr(),
        "random": random.getstate(),
        "NumPy's draws": repr(np.random.get_state()),  # noqa: NPY002
        "torch's draws": torch.get_rng_state().tolist(),
        "warnings": list(warnings.filters),
    }


def _print(*values: object) -> str:
    """Return a fingerprint to the last bit; types and devices count."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            found.update(f"{value.dtype}{value.device}{tuple(value.shape)}".encode())
            found.update(value.detach().clone().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


SCENARIO = "paper-F4"


def _dataset() -> synthetic.Dataset:
    return synthetic.generate(synthetic.scenario(SCENARIO), seed=0, n=160)


def _draw() -> str:
    data = _dataset()
    splits = (data.train, data.explain, data.test)
    return _print(*(v for it in splits for v in (*it.inputs.values(), it.labels)), *data.latents.values())


def _draw_missing() -> str:
    data = synthetic.generate(synthetic.scenario("missing-mnar"), seed=0, n=200)
    return _print(*data.train.inputs.values(), data.truth["gradient"].modalities)


def _truths() -> str:
    truths = synthetic.generate(synthetic.scenario("product"), seed=0, n=160).truth
    return _print(*((truths[name].modalities, truths[name].standard_error) for name in truths))


def _train(name: str) -> Callable[[], str]:
    def train() -> str:
        network = fit(
            name, _dataset().train, seed=0, plan=replace(models.plan(name), max_epochs=1, min_steps=2)
        )
        return _print(*network.state_dict().values())

    return train


def _judge() -> str:
    data = _dataset()
    network = _network()
    values = data.latents["test"][:, 0]
    found = fidelity(network, data.test, values, chance=0.5, ceiling=1.0)
    rows = diagnose(network, data.test, data.truth, np.random.default_rng(0))
    return _print(found, rows)


@cache
def _network() -> methods.FusionModel:
    """Return a network as a caller has it: built before anything was set."""
    return models.build("hybrid(weights=graded)", GRADED).eval()


GRADED = {"axial": (1, 28, 28), "coronal": (1, 28, 28), "clinical_a": (10,), "clinical_b": (10,)}


def _explain(name: str) -> Callable[[], str]:
    def explain() -> str:
        samples = _dataset().explain.take(slice(0, 8))
        try:
            found = methods.get(name).attribute(_network(), samples, np.random.default_rng(0))
        except methods.NotApplicableError as reason:
            return str(reason)
        maps = [torch.from_numpy(np.ascontiguousarray(it)) for it in found.pixels.values()]
        return _print(found.modalities, found.signed, found.flags, *maps)

    return explain


def _evaluate() -> str:
    board = benchmark.evaluate(methods.get("gradient"), scenarios=["paper-F4"], n_seeds=1)
    return _print(board.drop(columns=["seconds"]).to_csv())


def _check_a_model() -> str:
    return repr(check_model("late", shapes={"labs": (3,), "history": (2,)}))


def _check_a_method() -> str:
    return repr([(it.check, it.status) for it in run_checks("deeplift")])


WORK: dict[str, Callable[[], str]] = {
    "data": _draw,
    "data with gaps": _draw_missing,
    "truths": _truths,
    "training": _train("hybrid"),
    "training of two stages": _train("distilled"),
    "fidelity and diagnosis": _judge,
    "check of a model": _check_a_model,
    "check of a method": _check_a_method,
    **{name: _explain(name) for name in methods.names()},
}


@pytest.fixture(scope="module")
def usual() -> dict[str, str]:
    return {}


ALWAYS = ("default dtype float64", "inference mode", "another default device, set")


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    "world", [it if it in ALWAYS else pytest.param(it, marks=pytest.mark.slow) for it in WORLDS]
)
@pytest.mark.few(8)
def test_what_a_caller_has_set_changes_no_number_and_stays_set(world, work, usual):
    if work not in usual:
        _network()
        usual[work] = WORK[work]()
    with WORLDS[world]():
        before = _state()
        found = WORK[work]()
        after = _state()
    assert found == usual[work]
    assert after == before
