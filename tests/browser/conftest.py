"""A real browser, where there is one: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    """Return a browser, or skip where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on the path; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a driver of its own, only where needed

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()
