"""How long a report of many results takes to be made, and to be seen: ``make speed``."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import report_command

REFERENCE = Path("results/reference/paper-phantom/scores.csv")
SEEDS = ("data_seed", "train_seed", "method_seed")


@pytest.fixture(scope="module", params=[20_000, 100_000])
def run(tmp_path_factory, request):
    """Return the folder of a run of many results: those of the reference with noise, again and again."""
    scores = pd.read_csv(REFERENCE)
    n_results = len(scores.drop_duplicates(["scenario", "model", "method", *SEEDS]))
    rng = np.random.default_rng(0)
    parts = []
    for copy in range(-(-request.param // n_results)):
        seeds = {name: scores[name] + copy * scores["data_seed"].nunique() for name in SEEDS}
        rmse = scores["rmse"] * np.exp(0.1 * rng.standard_normal(len(scores)))
        parts.append(scores.assign(**seeds, rmse=rmse))
    folder = tmp_path_factory.mktemp("large")
    pd.concat(parts).to_csv(folder / "scores.csv", index=False)
    return folder


@pytest.mark.slow
@pytest.mark.benchmark(group="a report is made")
def test_a_report_is_made(benchmark, run):
    benchmark.pedantic(lambda: report_command.report([run]), rounds=2)
    benchmark.extra_info["megabytes"] = (run / "report.html").stat().st_size / 1e6


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.benchmark(group="a report is opened, and sorted by a click")
@pytest.mark.parametrize("what", ["open", "sort"])
def test_a_report_is_opened(benchmark, run, browser, what):
    """The first contentful paint [ms] stands beside the time that Playwright takes to see the page loaded."""
    if not (run / "report.html").exists():
        report_command.report([run])
    page = browser.new_page()
    page.goto((run / "report.html").as_uri())
    button = page.locator("#board th[data-column=seconds] button")
    benchmark.pedantic(page.reload if what == "open" else button.click, rounds=5)
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    benchmark.extra_info["first_contentful_paint_ms"] = page.evaluate(paint)
    page.close()
