"""What every test shares: the real images, where there are any, and a cache of the test run's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synthetic.threads import single_thread


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory):
    """Keep the user's own cache out of the tests: neither read from it nor write to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUMBLINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("PLUMBLINE_CACHE_LIMIT", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Run torch on one thread: for models this small, two only wait for each other."""
    with single_thread():
        yield


@pytest.fixture(scope="session")
def real_data_root() -> Path:
    """Return the folder with the real ``organamnist.npz``, or skip the test where there is none."""
    places = [Path(__file__).parents[2] / "shared" / "data"]
    if os.environ.get("PLUMBLINE_DATA"):
        places.insert(0, Path(os.environ["PLUMBLINE_DATA"]))
    for place in places:
        if (place / "organamnist.npz").is_file():
            return place
    searched = " or ".join(map(str, places))
    pytest.skip(f"no organamnist.npz in {searched}; set PLUMBLINE_DATA to the folder that has it")
