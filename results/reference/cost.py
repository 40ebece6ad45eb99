"""How the time of each step grows: the measurement behind the cost curve of README.md, on one thread.

Run it from the project's root, on an idle machine (about five minutes)::

    .venv/bin/python results/reference/cost.py

Networks have random weights and samples are noise: neither changes how long a method takes.
"""

from __future__ import annotations

import os
import time

import numpy as np
import torch

import methods
import synthetic
from benchmark import models
from benchmark import suite as suites
from benchmark.training import TrainingPlan, fit
from synthetic import Scenario, Table, Term
from synthetic.settings import own_settings
from synthetic.types import Samples

BASE = {"samples": 1000, "features": 10, "modalities": 4, "pixels": 28}
GRID = {
    "samples": (500, 1000, 2000, 4000),
    "features": (5, 10, 20, 40),
    "modalities": (2, 4, 8, 16),
    "pixels": (28, 64, 128),
}
LONGEST = 20.0
"""Seconds after which a size is the last one of its curve."""


def samples(n: int, n_features: int, n_modalities: int, pixels: int) -> Samples:
    """Return noise: two images, and tables for the other modalities."""
    generator = torch.Generator().manual_seed(0)
    inputs = {
        name: torch.rand(n, 1, pixels, pixels, generator=generator) for name in ("axial", "coronal")
    } | {
        f"table_{place}": torch.randn(n, n_features, generator=generator) for place in range(n_modalities - 2)
    }
    return Samples(inputs, torch.randint(0, 2, (n,), generator=generator))


def seconds(work, *, repeats: int = 1) -> float:
    """Return the shortest of the times that the work takes."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
        if found[-1] > LONGEST / 4:
            break
    return min(found)


def curve(times: dict[int, float]) -> str:
    """Return times, and the exponent of the power law through the upper half of the curve."""
    sizes, values = np.array(list(times)), np.array(list(times.values()))
    exponent = "–"
    if len(sizes) > 1:
        upper = slice(len(sizes) // 2 - 1, None)
        exponent = f"{np.polyfit(np.log(sizes[upper]), np.log(values[upper]), 1)[0]:.2f}"
    return " / ".join(f"{value:.3g}" for value in values) + f" | {exponent}"


def method_time(name: str, **sizes: int) -> float | None:
    """Return the seconds that a method takes, or None if it does not apply."""
    given = samples(*(sizes[key] for key in BASE))
    shapes = {key: tuple(value.shape[1:]) for key, value in given.inputs.items()}
    torch.manual_seed(0)
    network = models.build("hybrid", shapes).eval().requires_grad_(requires_grad=False)
    method = methods.get(name)
    try:
        return seconds(lambda: method.attribute(network, given, np.random.default_rng(0)))
    except methods.NotApplicableError:
        return None


def grow(measure, key: str) -> dict[int, float]:
    """Return size → seconds, until it takes too long."""
    times = {}
    for size in GRID[key]:
        found = measure(size)
        if found is None:
            break
        times[size] = found
        if found > LONGEST:
            break
    return times


def scenario(n_modalities: int, n_features: int) -> Scenario:
    """Return a scenario whose F reads a product and a square in every second modality."""
    tables = {f"table_{place}": Table(n_features) for place in range(n_modalities - 2)}
    images = ["axial/liver_attenuation", "coronal/liver_attenuation"]
    names = [*images, *(f"{name}/feature_0" for name in tables)]
    terms = [Term((first,)) * Term((second,)) for first, second in zip(names[::2], names[1::2], strict=False)]
    return Scenario(
        name=f"cost-{n_modalities}-{n_features}", description="cost", terms=tuple(terms), tables=tables
    )


def main() -> None:
    """Print the tables."""
    os.environ["PLUMBLINE_CACHE_LIMIT"] = "0"  # what is recalled takes no time
    with own_settings(threads=1):
        for key, sizes in GRID.items():
            print(
                f"\n| method | seconds at {' / '.join(map(str, sizes))} {key} | exponent |\n|---|---:|---:|"
            )
            for name in suites.get("paper").methods:
                times = grow(lambda size, name=name, key=key: method_time(name, **(BASE | {key: size})), key)
                if times:
                    print(f"| {name} | {curve(times)} |", flush=True)
        print("\n| step | sizes | seconds | exponent |\n|---|---:|---:|---:|")
        case = synthetic.scenario("paper-F6")
        patients = (1000, 2000, 4000, 8000)
        times = {n: seconds(lambda n=n: synthetic.generate(case, seed=n, n=n), repeats=1) for n in patients}
        print(f"| patients drawn | {' / '.join(map(str, patients))} | {curve(times)} |", flush=True)
        times = {
            size: seconds(
                lambda size=size: synthetic.generate(
                    synthetic.scenario("paper-F6", image_size=size), seed=1, n=1000
                ),
                repeats=1,
            )
            for size in GRID["pixels"]
        }
        print(f"| 1000 patients drawn, pixels | {' / '.join(map(str, times))} | {curve(times)} |", flush=True)
        plan = TrainingPlan(4e-3, "constant", 0.1, max_epochs=1, min_steps=1)
        fit("hybrid", samples(256, 10, 4, 28), seed=0, plan=plan)  # the first one loads parts of torch
        times = {
            size: seconds(
                lambda size=size: fit("hybrid", samples(1024, 10, 4, size), seed=0, plan=plan), repeats=1
            )
            for size in GRID["pixels"]
        }
        print(f"| one epoch of 1024, pixels | {' / '.join(map(str, times))} | {curve(times)} |", flush=True)
        for name, sizes in (("modalities", (2, 4, 6, 8)), ("features", GRID["features"])):
            times = {}
            for size in sizes:
                drawn = scenario(size if name == "modalities" else 4, size if name == "features" else 10)
                times[size] = seconds(
                    lambda drawn=drawn: [synthetic.truths(drawn)[it] for it in synthetic.ESTIMANDS],
                    repeats=1,
                )
            print(f"| all truths, {name} | {' / '.join(map(str, times))} | {curve(times)} |", flush=True)


if __name__ == "__main__":
    main()
