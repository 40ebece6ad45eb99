import numpy as np
import pytest

from benchmark import fine_table, score
from benchmark.maps import shrunk
from benchmark.report.fine_text import fine_markdown, pixels_table
from benchmark.report.map_figure import draw_maps
from benchmark.store import Result

JOB = {
    "scenario": "paper-F0",
    "images": "phantom",
    "features": "anatomy",
    "model": "hybrid",
    "method": "m",
    "data_seed": 0,
    "train_seed": 0,
    "method_seed": 0,
}
SCORES = {"average_precision": 0.7, "relevance_mass": 0.5, "relevance_rank": 0.6, "rank_correlation": 0.3}


def result(method="m", *, targets="gradient", accuracy=0.97, status="done", parts=None, **job):
    return Result(
        job={**JOB, "method": method, **job},
        key="k",
        status=status,
        method_version="1",
        targets=targets,
        truth={"gradient": {"a": 1.0}},
        truth_se={"gradient": {"a": 0.0}},
        fidelity={"accuracy": accuracy},
        model_calls=10,
        seconds=1.0,
        **(parts or {}),
    )


FEATURES = {
    "features": {"a": [3.0, 1.0], "b": [0.0, 4.0]},
    "feature_truth": {
        "gradient": {"a": [0.5, 0.0], "b": [0.0, 0.5]},
        "permutation": {"a": [1.0, 0.0], "b": [0.0, 0.0]},
    },
}
PAIRS = {
    "interactions": [["a", "b", -0.2], ["a", "c", 0.1], ["b", "c", 0.1]],
    "pair_truth": [["b", "a", -0.4, 0.01]],
}


def of_pixels(method="m", images=("axial",), **options):
    pixels = {image: {**SCORES, "mask_share": 0.4, "n_maps": 100} for image in images}
    return result(method, parts={"pixels": pixels, **options.pop("parts", {})}, **options)


def test_clinical_features_are_scored_as_one_vector_against_every_truth():
    frame = fine_table.parts([result(parts=FEATURES)]).set_index("estimand")
    assert list(frame.index) == ["gradient", "permutation"]
    assert set(frame["part"]) == {"clinical features"}
    estimate = [3, 1, 0, 4]
    assert frame.loc["gradient", "rmse"] == pytest.approx(score.rmse([0.5, 0, 0, 0.5], estimate))
    assert frame.loc["permutation", "rbo"] == pytest.approx(score.rbo([1, 0, 0, 0], estimate))
    assert frame.loc["gradient", "n_parts"] == 4


def test_pairs_are_scored_by_size_and_those_that_no_truth_names_are_zero():
    (row,) = fine_table.parts([result(parts=PAIRS)]).to_dict(orient="records")
    assert (row["part"], row["estimand"], row["n_parts"]) == ("pairs", "interaction", 3)
    # True: (a, b) alone. Said: a half, a quarter, a quarter.
    assert row["rmse"] == pytest.approx(np.sqrt((0.5**2 + 2 * 0.25**2) / 3))
    assert row["rbo"] == 1


def test_where_nothing_interacts_pairs_have_no_score():
    assert fine_table.parts([result(parts={**PAIRS, "pair_truth": [["a", "b", 0.0, 0.0]]})]).empty
    assert fine_table.parts([result(parts={**PAIRS, "pair_truth": []})]).empty


def of_synergy(method, value, truth, **job):
    told = {"synergy": truth, "synergy_standard_error": 0.01}
    return result(
        method, targets="interaction", parts={"summary": {"synergy": value}, "summary_truth": told}, **job
    )


def test_the_synergy_is_scored_where_nothing_interacts():
    results = [
        result("f", parts=FEATURES),
        of_synergy("a", 0.3, 0.0),
        of_synergy("a", 0.5, 0.0, data_seed=1),
        of_synergy("a", 0.8, 1.0, scenario="xor"),
        of_synergy("b", 0.1, 0.0),
        of_synergy("b", -0.5, 0.0, accuracy=0.6),  # of a network that learnt nothing
    ]
    frame = fine_table.parts(results)
    told = frame[frame["part"] == "synergy"]
    assert list(told["rmse"]) == pytest.approx([0.3, 0.5, 0.2, 0.1, 0.5])
    assert set(told["n_parts"]) == {1}
    assert frame["rmse"].notna().all()
    board = fine_table.synergy_board(frame)
    assert list(board.columns) == ["model", "scenario", "truth", "b", "a"]
    assert list(board["scenario"]) == ["paper-F0", "xor", "RMSE"]
    assert list(board["a"]) == pytest.approx([0.4, 0.8, np.sqrt((0.3**2 + 0.5**2 + 0.2**2) / 3)])
    assert board.loc[0, "b"] == pytest.approx(0.1)
    assert np.isnan(board.loc[1, "b"])
    text = "\n".join(fine_markdown(*[board.iloc[:0]] * 3, board))
    assert "| hybrid | xor | 1.000 | – | 0.800 |" in text
    assert fine_table.synergy_board(fine_table.parts([result(parts=FEATURES)])).empty


def test_what_failed_or_says_nothing_finer_has_no_row():
    results = [result(), result(status="failed", parts=FEATURES)]
    assert fine_table.parts(results).empty
    assert fine_table.pixels(results).empty
    assert fine_table.parts_board(fine_table.parts(results), part="pairs").empty
    assert fine_table.pixels_board(fine_table.pixels(results)).empty


def test_the_board_of_features_ranks_by_the_truth_that_each_method_targets():
    results = [
        result("by_slope", parts=FEATURES),
        result("by_loss", targets="permutation", parts=FEATURES),
        result("by_shapley", targets="shapley", parts=FEATURES),  # no truth of features: slopes count
        result("on_a_bad_network", accuracy=0.6, parts=FEATURES),
    ]
    board = fine_table.parts_board(fine_table.parts(results), part="clinical features").set_index("method")
    assert "on_a_bad_network" not in board.index
    assert board["against"].to_dict() == {
        "by_slope": "gradient",
        "by_loss": "permutation",
        "by_shapley": "gradient",
    }
    assert list(board["rmse"]) == sorted(board["rmse"])
    assert board.loc["by_slope", "rmse"] == pytest.approx(board.loc["by_slope", "vs gradient"])
    assert board.loc["by_loss", "rmse"] == pytest.approx(board.loc["by_loss", "vs permutation"])


def test_the_board_of_pixels_takes_means_of_images_then_of_scenarios():
    better = {"axial": {**SCORES, "average_precision": 0.9, "mask_share": 0.5, "n_maps": 9}}
    results = [
        of_pixels(images=("axial", "coronal")),
        result(scenario="paper-F1", parts={"pixels": better}),
        of_pixels("edges", targets="control"),
        of_pixels("bad", accuracy=0.6),
    ]
    board = fine_table.pixels_board(fine_table.pixels(results))
    assert list(board["method"]) == ["m", "edges"]  # controls last, networks that learnt nothing left out
    row = board.iloc[0]
    assert row["average_precision"] == pytest.approx((0.7 + 0.9) / 2)
    assert row["ap_corrected"] == pytest.approx(((0.7 - 0.4) / 0.6 + (0.9 - 0.5) / 0.5) / 2)
    assert row["n_cases"] == 2


def test_the_sections_name_what_is_there_and_escape_names():
    results = [of_pixels("a|b", parts={}), result("m", parts={**FEATURES, **PAIRS})]
    pixels = fine_table.pixels_board(fine_table.pixels(results))
    parts = fine_table.parts(results)
    boards = [fine_table.parts_board(parts, part=part) for part in ("clinical features", "pairs")]
    text = "\n".join(fine_markdown(pixels, *boards))
    for heading in ("## Pixels", "## Clinical features", "## Pairs of modalities"):
        assert heading in text
    assert r"a\|b" in text
    assert "vs permutation" in text
    assert fine_markdown(pixels.iloc[:0], boards[0].iloc[:0], boards[1].iloc[:0]) == []
    assert pixels_table(pixels).row_count == 1


def drawn(*names):
    rng = np.random.default_rng(0)
    return {name: shrunk({"a": rng.random((1, 9, 9)) > 0.5})["a"] for name in names}


def test_pictures_are_of_images_with_a_method_on_them():
    def with_maps(method, scenario, image="axial", **options):
        return of_pixels(
            method, (image,), scenario=scenario, parts={"maps": {image: drawn("x")["x"]}}, **options
        )

    results = [
        with_maps("m", "paper-F0"),
        with_maps("scan", "paper-F0", targets="control"),
        with_maps("true_mask", "paper-F0", targets="control"),
        with_maps("scan", "paper-F1", targets="control"),
        # F does not read the image: nothing is scored there.
        result("m", scenario="paper-F2", parts={"maps": {"axial": drawn("x")["x"]}}),
        result("true_mask", scenario="paper-F2", parts={"maps": {"axial": drawn("x")["x"]}}),
        # Nobody knows.
        result("m", scenario="on scans", parts={"maps": {"axial": drawn("x")["x"]}}),
    ]
    found = fine_table.maps(results)["hybrid"]
    assert {place: set(maps) for place, maps in found.items()} == {
        ("paper-F0", "axial"): {"m", "scan", "true_mask"},
        ("on scans", "axial"): {"m"},
    }


def test_the_picture_has_a_row_an_image_and_a_column_a_method():
    shown = {
        ("paper-F0", "axial"): drawn("scan", "true_mask", "true_relevance", "saliency", "$mine$"),
        ("paper-F1", "coronal"): drawn("scan", "saliency"),
        ("paper-F2", "axial"): drawn("scan"),
    }
    figure = draw_maps(shown, title="Suite", methods=["saliency", "$mine$", "absent"])
    panels = figure.axes
    assert len(panels) == 2 * 4
    assert [panel.get_title() for panel in panels[:4]] == ["scan", "true relevance", "saliency", "$mine$"]
    assert [len(panel.collections) for panel in panels[:4]] == [1, 1, 1, 1]  # the border of the true mask
    assert [len(panel.collections) for panel in panels[4:]] == [0, 0, 0, 0]
    assert [len(panel.images) for panel in panels[4:]] == [1, 0, 1, 0]
    assert draw_maps({("paper-F2", "axial"): drawn("scan")}, title="Suite", methods=["saliency"]) is None
    many = {("paper-F0", str(place)): drawn("scan", "saliency") for place in range(20)}
    assert len(draw_maps(many, title="Suite", methods=["saliency"]).axes) == 12 * 2


def test_pairs_that_a_method_leaves_out_count_as_nothing():
    only_wrong = {**PAIRS, "interactions": [["a", "c", 0.1], ["b", "c", 0.1]]}
    (row,) = fine_table.parts([result(parts=only_wrong)]).to_dict(orient="records")
    assert row["n_parts"] == 3
    assert row["rmse"] == pytest.approx(np.sqrt((1 + 2 * 0.25) / 3))


def test_a_method_that_survived_fewer_cases_stands_behind():
    easy = {"axial": {**SCORES, "average_precision": 0.9, "mask_share": 0.5, "n_maps": 9}}
    results = [
        result("whole", parts={"pixels": easy}),
        of_pixels("whole", scenario="paper-F1"),
        result("half", parts={"pixels": easy}),
        result("half", scenario="paper-F1", status="failed"),
    ]
    board = fine_table.pixels_board(fine_table.pixels(results))
    assert list(board["method"]) == ["whole", "half"]
    assert list(board["n_cases"]) == [2, 1]
    assert list(fine_table.pixels_board(board.iloc[:0])) == list(board)


def test_images_of_several_sources_stand_apart():
    results = [
        result(name, images=images, parts={"maps": {"axial": drawn("x")["x"]}}, targets="control")
        for images in ("phantom", "organ-ac")
        for name in ("scan", "m")
    ]
    assert set(fine_table.maps(results)["hybrid"]) == {
        ("paper-F0 on phantom", "axial"),
        ("paper-F0 on organ-ac", "axial"),
    }
