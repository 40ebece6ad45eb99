"""How many slices a second the phantom renders; run with ``--benchmark-only``."""

import numpy as np
import pytest

from synthetic.phantom import VIEWS, render


@pytest.mark.parametrize(("size", "n"), [(28, 10_000), (64, 2_000)])
@pytest.mark.parametrize("view", VIEWS)
def test_slices_per_second(benchmark, view, size, n):
    latents = np.random.default_rng(0).standard_normal((n, 10))

    images = benchmark.pedantic(
        lambda: render(latents, view=view, size=size, rng=np.random.default_rng(1)),
        rounds=5,
        warmup_rounds=1,
    )

    assert images.shape == (n, 1, size, size)
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["slices_per_second"] = round(n / benchmark.stats.stats.min)
