"""What every test shares: the real images, where there are any, a browser, and a cache of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

from synthetic.settings import own_settings

# The same examples in every run of `make test`: a change is judged by what it does, not by what was drawn.
# `make test-all` draws others each time.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("drawn", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.hookimpl(tryfirst=True)  # before what is slow is left out
def pytest_collection_modifyitems(items):
    """Mark all but some instances of a test as slow, where it says how many are enough: spread evenly."""
    families = {}
    for item in items:
        if item.get_closest_marker("few") and not item.get_closest_marker("slow"):
            families.setdefault((item.path, item.originalname), []).append(item)
    for family in families.values():
        (n,) = family[0].get_closest_marker("few").args
        kept = {place * len(family) // n for place in range(n)}
        for place, item in enumerate(family):
            if place not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory):
    """Keep the user's own cache out of the tests: neither read from it nor write to it.

    The processes of one run share a cache, as those of a benchmark do.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUMBLINE_CACHE", str(folder / "cache"))
        patch.delenv("PLUMBLINE_CACHE_LIMIT", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Run torch on one thread: for models this small, two only wait for each other."""
    with own_settings(threads=1):
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


@pytest.fixture(scope="module")
def browser():
    """Return a browser, or skip where there is none.

    One a module: while Playwright runs, so does its event loop, and no test beside it could start one.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on the path; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a driver of its own, only where needed

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()
