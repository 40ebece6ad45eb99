"""Tables on narrow terminals: a number is shown whole or not at all."""

import io
import re

import numpy as np
import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

import synthetic
from benchmark import baseline, table
from benchmark.regression import compare
from benchmark.report.scenario_text import scenario_text
from benchmark.report.text import leaderboard_table
from benchmark.report.verdict import terminal_report
from benchmark.terminal import terminal

# With a point or thousands: others may be parts of names, which may be broken.
NUMBER = re.compile(r"[−-]?\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+")


def shown(renderable, width):
    out = io.StringIO()
    terminal(file=out, width=width).print(renderable)
    return out.getvalue()


def numbers(text):
    return set(NUMBER.findall(text))


def grid(columns, rows):
    made = Table()
    for head, justify in columns:
        made.add_column(head, justify=justify)
    for row in rows:
        made.add_row(*row)
    return made


def random_grid(seed):
    rng = np.random.default_rng(seed)
    columns = [("name", "left")]
    columns += [
        (f"h{'o' * int(rng.integers(8))}{it}", rng.choice(["right", "left"], p=[0.8, 0.2])) for it in range(9)
    ]
    rows = [
        ["a_method_of_some_length"]
        + [
            f"{rng.integers(10**9):,}" if justify == "right" else "words of text"
            for _, justify in columns[1:]
        ]
        for _ in range(4)
    ]
    return grid(columns, rows)


@pytest.fixture(scope="module")
def scores(pytestconfig):
    return baseline.read(pytestconfig.rootpath / "results" / "reference" / "paper-phantom").table


@pytest.fixture(scope="module")
def renderables(scores):
    scenario = synthetic.scenario("graded")
    data = synthetic.generate(scenario, seed=0, n=200)
    gate = scores[scores["data_seed"] < 2].copy()
    worse = gate.assign(rmse=gate["rmse"] * 1.7)
    return {
        "leaderboard": leaderboard_table(table.leaderboard(scores), title="Suite paper"),
        "check": terminal_report(compare(worse, gate), everything=True),
        "scenario": scenario_text(scenario, data, data.truth),
        "group": Group("words", random_grid(3), Text("more")),
        **{f"random {seed}": random_grid(seed) for seed in range(6)},
    }


@pytest.mark.parametrize("width", [20, 30, 44, 50, 63, 80, 97])
@pytest.mark.few(3)
def test_a_number_is_shown_whole_or_not_at_all(renderables, width):
    for name, it in renderables.items():
        told = shown(it, width)
        assert numbers(told) <= numbers(shown(it, 400)), name
        assert all(len(line) <= width for line in told.splitlines()), name


@pytest.mark.parametrize("width", [20, 44, 80])
def test_what_is_left_out_is_named(width):
    made = grid(
        [("method", "left"), ("RMSE", "right"), ("model calls", "right"), ("s", "right")],
        [["lime", "0.123", "3,479,751", "12.5"]],
    )
    told = shown(made, width)
    assert "lime" in told
    assert "0.123" in told
    for head, value in (("model calls", "3,479,751"), ("s", "12.5")):
        assert (value in told) or re.search(
            rf"Not shown, for want of width: .*\b{head}\b", " ".join(told.split())
        )
    assert ("Not shown" in told) == (width == 20)


def test_a_wide_terminal_shows_everything(scores):
    told = shown(leaderboard_table(table.leaderboard(scores), title="Suite paper"), 90)
    assert "Not shown" not in told
