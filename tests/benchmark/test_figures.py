"""Figures show the numbers that they were given, at their places, under the names that users gave."""

import itertools
import re
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from benchmark import statistics, table
from benchmark.findings.boards import work_out
from benchmark.report.figure import draw_importances, save
from benchmark.report.figures import balance, missing
from benchmark.report.figures.cells import DARKEST, cell_text
from benchmark.report.figures.cost import draw_cost, pareto_front
from benchmark.report.figures.critical_difference import MOST_IN_ELBOWS, draw_critical_difference, levels
from benchmark.report.figures.error_parts import draw_error_parts
from benchmark.report.figures.estimands import draw_estimands
from benchmark.report.figures.heat_map import draw_heat_map
from benchmark.report.figures.intervals import draw_intervals
from benchmark.report.figures.svg import themed_svg
from benchmark.report.palette import MARKERS, PALETTE, look
from benchmark.statistics.comparisons import Friedman, Groups

SCORES = Path(__file__).parents[2] / "results" / "reference" / "paper-phantom" / "scores.csv"
HOSTILE = "<script>$x_1$&%#\\"
METHODS = ("gradient", "lime", "permutation", "modality_shapley", "calibrated_gradient")
CONTROLS = ("truth", "uniform", "random")
MODALITIES = ("axial", "coronal", "clinical_a", "clinical_b")


@lru_cache
def scores():
    """Return real scores of five methods, one of them with a name that nobody should have to draw."""
    frame = pd.read_csv(SCORES)
    frame = frame[frame["method"].isin((*METHODS, *CONTROLS))]
    return frame.assign(method=frame["method"].replace("lime", HOSTILE))


@lru_cache
def board():
    return table.leaderboard(scores())


@lru_cache
def own_board():
    """Return the leaderboard that says of each method what equal shares score against its truth."""
    return work_out(scores()).board(model="hybrid")


@lru_cache
def found_intervals():
    return statistics.intervals(scores(), model="hybrid")


def heat(n_methods=5, n_scenarios=8):
    values = np.random.default_rng(0).random((n_methods, n_scenarios)) * 0.5
    names = [HOSTILE, *(f"method_{place}" for place in range(1, n_methods))]
    return pd.DataFrame(values, index=names, columns=[f"case-{place}" for place in range(n_scenarios)])


def groups(n):
    """Return a diagram of n methods, neighbours alike."""
    names = [HOSTILE, *(f"method_{place}" for place in range(1, n))]
    ranks = pd.Series(np.linspace(1.2, n - 0.3, n), index=names, name="rank")
    runs = tuple(tuple(names[place : place + 3]) for place in range(0, n - 2, 2))
    return Groups(ranks, Friedman(12.3, 1e-6, n, 8), runs, pd.DataFrame())


def missing_rows(n_scenarios=2, models=("hybrid", HOSTILE), names=MODALITIES, seeds=2):
    rng = np.random.default_rng(1)
    rows = []
    for scenario, model, seed in itertools.product(range(n_scenarios), models, range(seeds)):
        for size in range(len(names) + 1):
            for subset in itertools.combinations(names, size):
                best = 0.5 + 0.4 * size / len(names)
                regret = 0.05 * rng.random()
                row = {"accuracy": best - regret, "auroc": best - regret, "log_loss": 1 - best + regret}
                rows.append(
                    {
                        "scenario": f"case-{scenario}",
                        "images": "phantom",
                        "features": "anatomy",
                        "model": model,
                        "data_seed": seed,
                        "train_seed": seed,
                        "available": " + ".join(subset),
                        "n_available": size,
                        "n_modalities": len(names),
                        **row,
                        "best_accuracy": best,
                        "best_auroc": best,
                        "best_log_loss": 1 - best,
                        **{f"regret_{name}": regret for name in row},
                    }
                )
    return pd.DataFrame(rows)


def balance_rows(n_scenarios=2, models=("hybrid", HOSTILE), names=MODALITIES, seeds=2):
    rng = np.random.default_rng(2)
    rows = []
    for scenario in range(n_scenarios):
        data = rng.dirichlet(np.ones(len(names)))
        for model, seed in itertools.product(models, range(seeds)):
            for place, (name, share) in enumerate(zip(names, rng.dirichlet(20 * data), strict=True)):
                flag = ("ignored", "leaned on", "", "")[(place + seed) % 4]
                rows.append(
                    {
                        "scenario": f"case-{scenario}",
                        "images": "phantom",
                        "features": "anatomy",
                        "model": model,
                        "data_seed": seed,
                        "train_seed": seed,
                        "modality": name,
                        "share_data": data[place],
                        "share_network": share,
                        "drop": 0.1,
                        "drop_se": 0.01,
                        "true_drop": 0.1,
                        "alone": 0.5 + 0.4 * rng.random(),
                        "best_alone": 0.9,
                        "flag": flag,
                    }
                )
    return pd.DataFrame(rows)


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - of our own making


def shares():
    rows = itertools.product(("case-0", "case-1"), (HOSTILE, "gradient"), MODALITIES)
    return pd.DataFrame(
        [
            {
                "model": "hybrid",
                "scenario": scenario,
                "method": method,
                "modality": name,
                "truth": 0.25,
                "mean": 0.3,
                "sd": 0.02,
            }
            for scenario, method, name in rows
        ]
    )


DRAWN = {
    "intervals": lambda: draw_intervals(found_intervals(), own_board()),
    "elbows": lambda: draw_critical_difference(groups(5)),
    "rows": lambda: draw_critical_difference(groups(40)),
    "error parts": lambda: draw_error_parts(statistics.error_shares(scores())),
    "cost": lambda: draw_cost(board()),
    "heat map": lambda: draw_heat_map(heat()),
    "estimands": lambda: draw_estimands(heat(5, 3), {HOSTILE: "case-1"}),
    "missing": lambda: missing.draw_missing(missing_rows(), heading=HOSTILE),
    "regret": lambda: missing.draw_regret(missing_rows()),
    "balance": lambda: balance.draw_balance(balance_rows(), heading=HOSTILE),
    "alone": lambda: balance.draw_alone(balance_rows()),
    "importances": lambda: draw_importances(
        shares(), title=HOSTILE, methods=[HOSTILE, "gradient"], labels={}
    ),
}
each = pytest.mark.parametrize("name", DRAWN)


@lru_cache
def svg(name):
    return themed_svg(DRAWN[name](), title=f"{name} {HOSTILE}", description="what <it> & shows")


def markers(panel, marker=None):
    """Return the points of all lines of markers, in the order of drawing."""
    lines = [line for line in panel.lines if line.get_linestyle() == "None" and line.get_xydata().size]
    return np.vstack([line.get_xydata() for line in lines if marker in (None, line.get_marker())])


def row_names(panel):
    return [label.get_text() for label in panel.get_yticklabels()]


# ---- pages


@each
@pytest.mark.few(4)
def test_a_picture_for_a_page_is_xml_with_the_palettes_colours_alone(name):
    text = svg(name)
    root = parsed(text)
    assert root.attrib["role"] == "img"
    ids = {part.attrib["id"]: part for part in root.iter() if "id" in part.attrib}
    labels = [ids[label] for label in root.attrib["aria-labelledby"].split()]
    assert [label.text for label in labels] == [f"{name} {HOSTILE}", "what <it> & shows"]
    # Every colour stands as the fallback of its own custom property.
    bare = text
    for colour, name_of_it in PALETTE.properties.items():
        bare = bare.replace(f"var({name_of_it},{colour})", "")
    bare = re.sub(r"url\(#[^)]*\)|href=\"#[^\"]*\"|id=\"[^\"]*\"|#f[0-9a-f]{8} \.c", "", bare)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|fill:(?!none|url|\}|;)[a-z]", bare)
    assert re.findall(r"https?:[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<foreignObject|\son[a-z]+=|<metadata|matplotlib", text)
    assert len(text) < 150_000


@each
def test_names_stand_in_a_page_as_they_are(name):
    root = parsed(svg(name))
    written = ["".join(part.itertext()) for part in root.iter() if part.tag.endswith("}text")]
    assert any(HOSTILE in text for text in written), written


@each
@pytest.mark.few(4)
def test_what_is_referred_to_is_there_once(name):
    figure = DRAWN[name]()
    texts = [svg(name), themed_svg(figure, title="another", description="")]
    roots = [parsed(text) for text in texts]
    ids = [part.attrib["id"] for root in roots for part in root.iter() if "id" in part.attrib]
    assert len(ids) == len(set(ids))  # both fit into one page
    for text in texts:
        referred = re.findall(r"url\(#([^)]*)\)", text) + re.findall(r"href=\"#([^\"]*)\"", text)
        assert set(referred) <= set(ids)


@each
@pytest.mark.few(3)
def test_the_same_numbers_are_the_same_picture(name):
    assert themed_svg(DRAWN[name](), title=f"{name} {HOSTILE}", description="what <it> & shows") == svg(name)


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_same_picture_is_the_same_file(suffix, tmp_path):
    for place in ("a", "b"):
        save(DRAWN["elbows"](), tmp_path / f"{place}.{suffix}", dpi=60)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_pdf_has_fonts_that_journals_take_and_no_date(tmp_path):
    save(DRAWN["heat map"](), tmp_path / "a.pdf")
    raw = (tmp_path / "a.pdf").read_bytes()
    assert b"/CreationDate" not in raw
    assert b"/Subtype /Type3" not in raw
    assert b"/CIDFontType2" in raw


def test_colours_of_ones_own_and_pixels_are_refused():
    figure = Figure()
    figure.subplots().plot([1, 2], color="#123456")
    with pytest.raises(ValueError, match=r"palette's colours alone. Got #123456: take one of"):
        themed_svg(figure, title="", description="")
    figure = Figure()
    figure.subplots().imshow(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="Got pixels in it"):
        themed_svg(figure, title="", description="")


def test_every_colour_and_look_is_one_of_a_kind():
    colours = [PALETTE.ink, PALETTE.muted, PALETTE.line, PALETTE.paper, PALETTE.good, PALETTE.bad]
    assert len({*colours, *PALETTE.series}) == len(colours) + len(PALETTE.series) == len(PALETTE.properties)
    assert len({look(place) for place in range(72)}) == 72
    assert len(set(MARKERS)) == len(MARKERS)


def test_ink_is_readable_on_paper_and_on_the_darkest_cell():
    def parts_of(colour):
        return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])

    def contrast(first, second):
        levels = []
        for parts in (first, second):
            linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
            levels.append(float(linear @ [0.2126, 0.7152, 0.0722]))
        return (max(levels) + 0.05) / (min(levels) + 0.05)

    ink, muted, paper, tint = (
        parts_of(colour) for colour in (PALETTE.ink, PALETTE.muted, PALETTE.paper, PALETTE.series[0])
    )
    assert contrast(ink, DARKEST * tint + (1 - DARKEST) * paper) > 4.5
    assert contrast(muted, paper) > 4.5
    for colour in (PALETTE.good, PALETTE.bad):
        assert contrast(parts_of(colour), paper) > 4.5


# ---- intervals


def test_intervals_are_drawn_where_they_are():
    figure = draw_intervals(found_intervals(), own_board())
    found = found_intervals()
    for panel, metric in zip(figure.axes, ("rmse", "rbo"), strict=True):
        rows = found[found["metric"] == metric].set_index("method")
        order = list(found[found["metric"] == "rmse"].sort_values("value")["method"])
        points = markers(panel)
        points = points[np.argsort(points[:, 1])]
        np.testing.assert_allclose(points[:, 0], rows.loc[order, "value"])
        np.testing.assert_array_equal(points[:, 1], range(len(order)))
        whiskers = np.array(panel.collections[0].get_segments())
        left = np.maximum(rows.loc[order, "low"], panel.get_xlim()[0])
        np.testing.assert_allclose(whiskers[:, :, 0], np.column_stack([left, rows.loc[order, "high"]]))
        own = scores()[(scores()["estimand"] == scores()["targets"]) & (scores()["model"] == "hybrid")]
        column = {"rmse": own["rmse_uniform"] ** 2, "rbo": own["rbo_chance"]}[metric]
        chance = column.groupby(own["method"]).mean() ** (0.5 if metric == "rmse" else 1)
        ticks = np.array(panel.collections[1].get_segments())
        np.testing.assert_allclose(ticks[:, 0, 0], chance[order])
        np.testing.assert_allclose(ticks[:, :, 1].mean(1), range(len(order)))
        assert len(set(chance.round(3))) > 1
    assert row_names(figure.axes[0]) == order
    assert [panel.get_xlabel() for panel in figure.axes] == ["RMSE (pooled)", "RBO (mean)"]


def test_without_intervals_there_are_none_and_it_says_so():
    found = found_intervals().assign(low=np.nan, high=np.nan)
    figure = draw_intervals(found[found["metric"] == "rmse"], own_board())
    assert len(figure.axes) == 1
    assert not len(figure.axes[0].collections[0].get_segments())
    assert "No intervals" in figure.get_supxlabel()


def test_equal_shares_are_one_line_where_all_methods_target_one_truth():
    found = found_intervals()
    names = own_board().loc[own_board()["targets"] == "gradient", "method"]
    figure = draw_intervals(found[found["method"].isin(names)], own_board())
    for panel, level in zip(figure.axes, ("rmse", "rbo"), strict=True):
        (line,) = [line for line in panel.lines if line.get_linestyle() == "--"]
        uniform = own_board().set_index("method").loc["uniform", level]
        assert line.get_xdata()[0] == pytest.approx(uniform, abs=1e-12)
        assert len(panel.collections) == 1
    figure = draw_intervals(found, board().drop(columns="rbo_chance"))
    assert "equal shares" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_perfect_ranks_have_an_axis():
    found = found_intervals().assign(value=1.0, low=1.0, high=1.0)
    found.loc[found["metric"] == "rmse", ["value", "low", "high"]] = 0.0
    figure = draw_intervals(found, board())
    assert [np.diff(panel.get_xlim())[0] > 0 for panel in figure.axes] == [True, True]


def test_names_in_a_script_that_the_font_lacks_are_drawn():
    rows = board().assign(method=[f"重要度 {place}" for place in range(len(board()))])
    text = themed_svg(draw_cost(rows), title="重要度", description="")
    assert "重要度 3" in text
    rows = shares()[shares()["method"] == "gradient"].assign(method="重要度")
    figure = draw_importances(rows, title="重", methods=["重要度"], labels={})
    assert "重要度" in themed_svg(figure, title="", description="")


def test_errors_of_one_size_start_at_zero():
    found = found_intervals()
    found = found[(found["metric"] == "rmse") & found["method"].isin(["permutation", HOSTILE, "gradient"])]
    panel = draw_intervals(found, board()).axes[0]
    assert panel.get_xscale() == "linear"
    assert panel.get_xlim()[0] == 0
    assert draw_intervals(found_intervals(), own_board()).axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: found.iloc[:0], "must have a row or more"),
        (lambda found: found.drop(columns="low"), "Got none named low"),
        (
            lambda found: pd.concat([found, found.assign(model="late")]),
            "must be of one model. Got hybrid, late",
        ),
    ],
)
def test_frames_that_say_too_little_or_too_much_are_refused(spoil, message):
    with pytest.raises(ValueError, match=message):
        draw_intervals(spoil(found_intervals()), board())


# ---- ranks


@pytest.mark.parametrize("n", [3, 5, MOST_IN_ELBOWS, MOST_IN_ELBOWS + 1, 40])
def test_ranks_and_groups_stand_at_their_places(n):
    diagram = groups(n)
    figure = draw_critical_difference(diagram)
    panel = figure.axes[0]
    np.testing.assert_allclose(markers(panel)[:, 0], diagram.ranks)
    bars = [line for line in figure.axes[-1].lines if line.get_linewidth() > 2]
    assert len(bars) == len(diagram.groups)
    names = list(diagram.ranks.index)
    for bar, group in zip(bars, diagram.groups, strict=True):
        ends = np.array([names.index(group[0]), names.index(group[-1])])
        if n <= MOST_IN_ELBOWS:
            np.testing.assert_allclose(bar.get_xdata(), diagram.ranks.iloc[ends], atol=0.01 * n)
        else:
            np.testing.assert_allclose(bar.get_ydata(), ends, atol=0.3)
    texts = [text.get_text() for text in panel.texts] if n <= MOST_IN_ELBOWS else row_names(panel)
    assert all(sum(name in text.split("  ") for text in texts) == 1 for name in names)
    assert "p < 0.0001" in figure.get_supxlabel()
    assert "over 8 scenarios" in figure.get_supxlabel().replace("\n", " ")


def test_names_of_the_diagram_do_not_cover_each_other():
    for n in (5, MOST_IN_ELBOWS, 40):
        figure = draw_critical_difference(groups(n))
        figure.draw_without_rendering()
        panel = figure.axes[0]
        texts = panel.texts if n <= MOST_IN_ELBOWS else panel.get_yticklabels()
        assert not overlaps([text.get_window_extent() for text in texts])
        inside = figure.bbox
        assert all(inside.containsx(box.x0) and inside.containsx(box.x1) for box in extents(texts))


def extents(texts):
    return [text.get_window_extent() for text in texts]


def overlaps(boxes):
    # Letters of one line may touch the next one's box by a fraction of a point.
    return [
        (first, second)
        for first, second in itertools.combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 0.5
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 2.5
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=20))
def test_bars_in_one_lane_do_not_touch(spans):
    spans = sorted((start, start + length) for start, length in spans)
    lanes = levels(spans)
    for (first, lane), (second, other) in itertools.combinations(zip(spans, lanes, strict=True), 2):
        assert lane != other or first[1] < second[0]


# ---- parts of the error, costs


def test_error_parts_are_drawn_where_they_are():
    found = statistics.error_shares(scores()).sort_values("mse", kind="stable")
    found = found.reset_index(drop=True)
    found.loc[2, ["share_method", "share_model"]] = np.nan
    figure = draw_error_parts(found)
    left, right = figure.axes
    own, seen = (line.get_xdata() for line in left.lines)
    np.testing.assert_allclose(own, np.sqrt(found["mse_oracle"]))
    np.testing.assert_allclose(seen, np.sqrt(found["mse"]))
    method, model = ([bar.get_width() for bar in bars] for bars in right.containers)
    np.testing.assert_allclose(method, found["share_method"].fillna(0))
    np.testing.assert_allclose(np.add(method, model), [1, 1, 0, 1, 1])
    assert [text.get_text() for text in right.texts] == ["no error"]
    assert row_names(left) == list(found["method"])


def test_a_model_whose_name_steers_a_screen_is_drawn():
    rows = statistics.error_shares(scores()).assign(model="hy\x01brid")
    assert "on hy\\x01brid" in themed_svg(draw_error_parts(rows), title="", description="")


def test_costs_are_drawn_where_they_are():
    figure = draw_cost(board())
    methods = board()[~board()["method"].isin(CONTROLS)]
    panel = figure.axes[0]
    names = [text for text in panel.texts if isinstance(text, Annotation)]
    assert [text.get_text() for text in names] == list(methods["method"])
    np.testing.assert_allclose([text.xy for text in names], methods[["model_calls", "rmse"]])
    (rings,) = [line for line in panel.lines if line.get_markerfacecolor() == "none"]
    front = methods.iloc[pareto_front(methods["model_calls"], methods["rmse"])]
    np.testing.assert_allclose(rings.get_xydata(), front[["model_calls", "rmse"]])
    assert panel.get_xscale() == "log"


def test_a_method_without_a_rank_is_open_and_not_on_the_front():
    methods = board()[~board()["method"].isin(CONTROLS)]
    best = methods["method"].iloc[0]
    figure = draw_cost(methods.assign(rank=[np.nan, 1.0, 2.0, 3.0, 4.0]))
    rest = methods.iloc[1:]
    (rings,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    front = rest.iloc[pareto_front(rest["model_calls"], rest["rmse"])]
    np.testing.assert_allclose(rings.get_xydata(), front[["model_calls", "rmse"]])
    (hollow,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == PALETTE.paper]
    np.testing.assert_allclose(
        hollow.get_xydata(), methods.loc[methods["method"] == best, ["model_calls", "rmse"]]
    )
    assert "Open: no rank" in figure.get_supxlabel()
    figure = draw_cost(methods.assign(rank=np.nan))
    assert "Pareto front" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_method_without_calls_is_named():
    rows = board().copy()
    rows.loc[rows["method"] == "gradient", "model_calls"] = 0
    assert draw_cost(rows).get_supxlabel() == "Without a call of the model: gradient."


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_beats(points):
    calls, errors = np.array(points, dtype=float).T
    front = pareto_front(calls, errors)

    def beaten(place):
        as_good = (calls <= calls[place]) & (errors <= errors[place])
        return (as_good & ((calls < calls[place]) | (errors < errors[place]))).any()

    assert {points[place] for place in front} == {
        points[place] for place in range(len(points)) if not beaten(place)
    }
    assert np.all(np.diff(errors[front]) < 0)


def test_names_of_points_cover_neither_each_other_nor_other_points():
    rng = np.random.default_rng(3)
    n = 40
    rows = pd.DataFrame(
        {
            "model": "hybrid",
            "method": [f"method_number_{place}" for place in range(n)],
            "targets": rng.choice(["gradient", "shapley", "sage"], n),
            "rmse": np.exp(rng.normal(-3, 1, n)),
            "model_calls": np.exp(rng.normal(10, 2, n)),
        }
    )
    figure = draw_cost(rows)
    panel = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in panel.texts]  # without lines to points
    assert len(boxes) == n
    assert not overlaps(boxes)
    frame = panel.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
    points = panel.transData.transform(rows[["model_calls", "rmse"]])
    for place, box in enumerate(boxes):
        others = np.delete(points, place, axis=0)
        assert not any(box.contains(*point) for point in others)


# ---- tables


def test_cells_hold_their_numbers():
    values = heat()
    values.iloc[1, 2] = np.nan
    panel = draw_heat_map(values).axes[0]
    texts = {(round(text.get_position()[1]), round(text.get_position()[0])): text for text in panel.texts}
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        assert texts[row, column].get_text() == cell_text(value, 3)
    cells = {(round(cell.get_y() + 0.5), round(cell.get_x() + 0.5)): cell for cell in panel.patches}
    assert len(cells) == values.size - 1
    top = np.nanmax(values)
    for place, cell in cells.items():
        assert cell.get_alpha() == pytest.approx(DARKEST * values.iloc[place] / top)
    assert row_names(panel) == list(values.index)
    assert [label.get_text() for label in panel.get_xticklabels()] == list(values.columns)


@pytest.mark.slow
def test_forty_methods_on_forty_scenarios_fit_on_a_page_on_its_side():
    figure = draw_heat_map(heat(40, 40))
    assert figure.get_figwidth() <= 9.5
    figure.draw_without_rendering()
    panel = figure.axes[0]
    first = [text for text in panel.texts if round(text.get_position()[1]) == 0]
    assert not overlaps(extents(first))
    assert len(themed_svg(figure, title="", description="")) < 190_000


def test_the_target_has_a_frame():
    values = heat(5, 3)
    panel = draw_estimands(values, {HOSTILE: "case-1", "method_2": "case-0", "method_3": "nowhere"}).axes[0]
    framed = [cell for cell in panel.patches if cell.get_linewidth()]
    places = {(round(cell.get_y() + 0.44), round(cell.get_x() + 0.46)) for cell in framed}
    assert places == {(0, 1), (2, 0)}


def test_a_table_of_several_models_is_refused():
    values = heat()
    values.index = pd.MultiIndex.from_product([["hybrid"], values.index])
    with pytest.raises(ValueError, match="one row a method, of one model"):
        draw_heat_map(values)
    with pytest.raises(ValueError, match="must have a row and a column"):
        draw_heat_map(values.iloc[:0])


# ---- missing modalities


def test_curves_are_means_over_subsets_and_networks():
    rows = missing_rows()
    figure = missing.draw_missing(rows)
    for place, panel in enumerate(figure.axes):
        case = rows[rows["scenario"] == f"case-{place}"]
        best, *curves = panel.lines
        np.testing.assert_allclose(best.get_ydata(), case.groupby("n_available")["best_accuracy"].mean())
        for curve, model in zip(curves, ("hybrid", HOSTILE), strict=True):
            mine = case[case["model"] == model]
            np.testing.assert_allclose(curve.get_ydata(), mine.groupby("n_available")["accuracy"].mean())
        whiskers = panel.collections[0].get_segments()
        by_network = case[case["model"] == "hybrid"].groupby(["n_available", "data_seed"])["accuracy"].mean()
        spans = by_network.groupby("n_available").agg(["min", "max"]).to_numpy()
        np.testing.assert_allclose([segment[:, 1] for segment in whiskers], spans)
    assert figure.axes[0].get_ylabel() == "accuracy"


def test_too_many_scenarios_are_counted():
    figure = missing.draw_missing(missing_rows(n_scenarios=13, models=("hybrid",), seeds=1))
    assert "Missing modalities: 12 of 13 scenarios" in [text.get_text() for text in figure.texts]
    assert sum(panel.axison for panel in figure.axes) == 12
    figure = balance.draw_balance(balance_rows(n_scenarios=13))
    assert "Balance of modalities: 12 of 13 scenarios" in [text.get_text() for text in figure.texts]


def test_the_best_possible_counts_each_subset_once():
    rows = missing_rows(1, models=("hybrid", "mine"), names=("ct", "ehr"), seeds=1)
    rows = rows[(rows["model"] == "hybrid") | (rows["available"] != "ehr")]
    rows["best_accuracy"] = rows["available"].map({"": 0.5, "ct": 0.9, "ehr": 0.6, "ct + ehr": 0.95})
    figure = missing.draw_missing(rows)
    best, own = (line for line in figure.axes[0].lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(best.get_ydata(), [0.5, 0.75, 0.95])
    np.testing.assert_allclose(own.get_ydata(), [0.5, 0.9, 0.95])
    assert own.get_color() == look(1)[0]
    assert "in a model's colour" in figure.get_supxlabel()


def test_regrets_without_a_number_are_refused():
    rows = missing_rows().assign(regret_log_loss=np.nan)
    assert missing.regrets(rows) == {}
    with pytest.raises(ValueError, match="must have a number in regret_log_loss"):
        missing.draw_regret(rows)


@pytest.mark.parametrize("n", [1, 3, 16, 60])
@pytest.mark.few(2)
def test_a_legend_has_as_many_columns_as_fit(n):
    names = ["W" * 40 if place == 1 else f"model_{place}" for place in range(n)]
    figure = missing.draw_missing(missing_rows(4, models=names, names=("ct", "ehr"), seeds=1))
    (key,) = figure.legends
    figure.draw_without_rendering()
    box = key.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    rows = len({round(text.get_window_extent().y0) for text in key.get_texts()})
    assert rows <= {1: 1, 3: 1, 16: 4, 60: 15}[n]


def test_kinds_of_features_have_a_panel_each():
    rows, shares_of = missing_rows(1), balance_rows(1)
    rows = pd.concat([rows, rows.assign(features="pca", accuracy=0.5)])
    figure = missing.draw_missing(rows)
    names = ["case-0 on phantom (anatomy)", "case-0 on phantom (pca)"]
    assert [panel.get_title("left").replace("\n", " ") for panel in figure.axes] == names
    assert set(figure.axes[1].lines[1].get_ydata()) == {0.5}
    figure = balance.draw_balance(pd.concat([shares_of, shares_of.assign(features="pca")]))
    assert [panel.get_title("left").replace("\n", " ") for panel in figure.axes] == names


def test_regrets_are_means_by_subset_small_ones_first():
    rows = missing_rows()
    ((names, found),) = missing.regrets(rows).items()
    assert names == MODALITIES
    assert list(found.columns[:3]) == ["none", "axial", "coronal"]
    assert len(found.columns) == 16
    expected = rows[(rows["model"] == HOSTILE) & (rows["available"] == "axial + clinical_b")]
    assert found.loc[HOSTILE, "axial + clinical_b"] == pytest.approx(expected["regret_log_loss"].mean())
    panel = missing.draw_regret(rows).axes[0]
    assert len(panel.texts) == found.size


def test_scenarios_with_other_modalities_have_a_table_of_their_own():
    other = missing_rows(1, names=("ct", "ehr")).assign(scenario="other")
    found = missing.regrets(pd.concat([missing_rows(), other]))
    assert [len(table.columns) for table in found.values()] == [16, 4]
    figure = missing.draw_regret(pd.concat([missing_rows(), other]))
    assert [panel.get_title("left") for panel in figure.axes] == [" + ".join(MODALITIES), "ct + ehr"]


def test_of_many_subsets_the_telling_ones_are_shown():
    names = tuple(f"m{place}" for place in range(8))
    ((_, found),) = missing.regrets(missing_rows(1, models=("hybrid",), names=names, seeds=1)).items()
    sizes = {0 if name == "none" else name.count("+") + 1 for name in found.columns}
    assert sizes == {0, 1, 7, 8}
    assert found.attrs["n_left_out"] == 2**8 - 18
    figure = missing.draw_regret(missing_rows(1, models=("hybrid",), names=names, seeds=1))
    assert "left out" in figure.get_supxlabel().replace("\n", " ")


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        missing.draw_missing(missing_rows(), metric="acuracy")


# ---- balance


def test_every_network_has_a_marker_and_every_flag_a_ring():
    rows = balance_rows()
    figure = balance.draw_balance(rows)
    for place, panel in enumerate(figure.axes):
        mine = rows[rows["scenario"] == f"case-{place}"]
        filled = [line for line in panel.lines if line.get_markerfacecolor() != "none"]
        drawn = np.concatenate([line.get_ydata() for line in filled])
        np.testing.assert_allclose(np.sort(drawn), np.sort(mine["share_network"]))
        for flag, shape in balance.FLAGS.items():
            rings = [
                line
                for line in panel.lines
                if line.get_markerfacecolor() == "none" and line.get_marker() == shape
            ]
            ringed = np.concatenate([line.get_ydata() for line in rings])
            expected = mine.loc[mine["flag"] == flag, "share_network"]
            np.testing.assert_allclose(np.sort(ringed), np.sort(expected))
        (bars,) = [bars for bars in panel.containers if isinstance(bars, BarContainer)]
        data = mine.groupby("modality", sort=False)["share_data"].mean()
        np.testing.assert_allclose([bar.get_height() for bar in bars], data)
        # A marker stands over its modality.
        for line in filled:
            assert set(np.rint(line.get_xdata())) == {0, 1, 2, 3}


def test_single_performance_stands_against_share():
    rows = balance_rows()
    rows.loc[3, "alone"] = np.nan
    figure = balance.draw_alone(rows)
    assert [panel.get_title("left") for panel in figure.axes if panel.axison] == ["hybrid", HOSTILE]
    for panel, model in zip(figure.axes, ("hybrid", HOSTILE), strict=False):
        mine = rows[(rows["model"] == model) & rows["alone"].notna()]
        drawn = np.vstack([line.get_xydata() for line in panel.lines if line.get_markerfacecolor() != "none"])
        expected = mine[["alone", "share_network"]].to_numpy()
        assert {*map(tuple, drawn)} == {*map(tuple, expected)}
    with pytest.raises(ValueError, match="'alone'"):
        balance.draw_alone(rows.assign(alone=np.nan))


# ---- truth and estimate


def test_headings_stand_above_legends_and_panels():
    figure = draw_importances(
        shares(), title="A heading", methods=[HOSTILE, "gradient"], labels={"case-0": "Σ a"}
    )
    buffer = BytesIO()
    figure.savefig(buffer)
    (heading,) = [text for text in figure.texts if text.get_text() == "A heading"]
    legend = figure.legends[0].get_window_extent()
    titles = [panel.title if panel.get_title() else panel._left_title for panel in figure.axes]
    assert heading.get_window_extent().y0 >= legend.y1 - 6  # the legend's own margin
    assert legend.y0 >= max(title.get_window_extent().y1 for title in titles) - 6
    assert [panel.get_title("left") for panel in figure.axes] == ["case-0: Σ a", "case-1"]


def test_a_picture_at_a_finer_scale_is_larger(tmp_path):
    for dpi in (50, 100):
        save(DRAWN["elbows"](), tmp_path / f"{dpi}.png", dpi=dpi)
    sizes = [int.from_bytes((tmp_path / f"{dpi}.png").read_bytes()[16:20], "big") for dpi in (50, 100)]
    assert sizes == [350, 700]
