import json

import numpy as np
import pytest

from benchmark.said import Said, feature_shares
from methods import Attribution

TABLES = {"clinical": 3, "history": 2}


def said(**parts):
    found = Attribution({"axial": 1.0, "clinical": 2.0, "history": 3.0}, **parts)
    return Said.of(found, tables=TABLES, n_maps=2, model_calls=7, seconds=0.5)


def test_what_was_said_goes_through_json_to_the_last_digit():
    rng = np.random.default_rng(0)
    told = said(
        features={"clinical": rng.standard_normal(3), "history": rng.standard_normal(2)},
        interactions={("axial", "clinical"): 1 / 3, ("axial", "history"): -2e-300},
        pixels={"axial": rng.standard_normal((2, 5, 7))},
        summary={"synergy": np.float32(1 / 3)},
        standard_error={"axial": 0.1, "clinical": np.float32(0.2)},
        flags=("completeness missed by 78.0%",),
    )
    again = Said.unpacked(json.loads(json.dumps(told.packed())))
    assert {**vars(again), "pixels": None} == {**vars(told), "pixels": None}
    assert again.pixels["axial"].dtype == np.float32
    np.testing.assert_array_equal(again.pixels["axial"], told.pixels["axial"])
    assert Said.unpacked(json.loads(json.dumps(Said().packed()))) == Said()


def test_more_maps_than_are_scored_are_not_kept():
    maps = np.arange(3 * 4 * 4, dtype=float).reshape(3, 4, 4)
    np.testing.assert_array_equal(said(pixels={"axial": maps}).pixels["axial"], maps[:2])


@pytest.mark.parametrize(
    "features",
    [
        {"clinical": np.ones(3)},  # not of every table
        {"clinical": np.ones(3), "history": np.ones(3)},  # of something else than the columns
        {"clinical": np.ones(3), "history": np.array([1.0, np.nan])},
        {"clinical": np.ones((3, 1)), "history": np.ones(2)},
        {"axial": np.ones(10)},
    ],
)
def test_features_count_where_they_are_the_columns_of_all_tables(features):
    assert said(features=features).features == {}


def test_features_of_images_are_left_out():
    features = {"axial": np.ones(10), "history": np.array([1, 2]), "clinical": np.array([3, 4, 5])}
    assert said(features=features).features == {"clinical": [3.0, 4.0, 5.0], "history": [1.0, 2.0]}


def test_true_shares_of_columns_are_those_among_tables():
    tables = [("clinical", ("clinical/a", "clinical/b")), ("history", ("history/c",))]
    truth = {"axial/x": 0.6, "clinical/a": 0.1, "clinical/b": 0.0, "history/c": 0.3}
    shares = feature_shares(truth, tables)
    assert shares == {"clinical": [pytest.approx(0.25), 0.0], "history": [pytest.approx(0.75)]}
    assert feature_shares({"axial/x": 1.0, "clinical/a": 0.0}, tables) == {}
    assert feature_shares({}, tables) == {}
