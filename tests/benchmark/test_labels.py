"""Scores of labelled vectors do not depend on the order in which labels stand."""

import inspect
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import score

NAMES = ["axial", "coronal", "labs", "history"]
TRUTH, ESTIMATE = [0.6, 0.3, 0.1, 0.0], [0.1, 0.7, 0.15, 0.05]
ERROR = [0.01, 0.2, 0.2, 0.0]
KINDS = {
    "series": lambda values, names: pd.Series(values, index=names),
    "mapping": lambda values, names: dict(zip(names, values, strict=True)),
    "proxy": lambda values, names: MappingProxyType(dict(zip(names, values, strict=True))),
    "frame": lambda values, names: pd.DataFrame([values], columns=names),
    "list of series": lambda values, names: [pd.Series(values, index=names)],
    "list of mappings": lambda values, names: [dict(zip(names, values, strict=True))],
    "multi-index": lambda values, names: pd.Series(values, index=pd.MultiIndex.from_product([["ct"], names])),
}
VECTORS = {"truth": TRUTH, "estimate": ESTIMATE, "truth_standard_error": ERROR}
VECTORS |= {"rmses": [0.1, 0.4, 0.2, 0.3], "n_values": [1, 9, 2, 2]}
VECTORS |= {"score": [0.9, 0.5, 0.8, 0.6], "chance": [0.1, 0.4, 0.7, 0.5], "ceiling": [1.0, 0.9, 1.1, 0.7]}
"""Argument → what it is called with: every public function is, whatever its arguments are."""


def functions():
    """Return every public function of the module that takes two vectors or more."""
    for name, function in inspect.getmembers(score, inspect.isfunction):
        parameters = inspect.signature(function).parameters
        vectors = [key for key, it in parameters.items() if "ArrayLike" in str(it.annotation)]
        if function.__module__ == score.__name__ and not name.startswith("_") and len(vectors) > 1:
            yield pytest.param(function, vectors, id=name)


FUNCTIONS = [*functions()]


def plain(found):
    return np.asarray(found, dtype=float).squeeze()


def test_functions_are_found():
    names = {it.id for it in FUNCTIONS}
    assert {"rmse", "rbo", "rbo_chance", "informative", "chance_corrected", "pooled_rmse"} < names
    assert {key for it in FUNCTIONS for key in it.values[1]} == set(VECTORS)  # noqa: PD011 - no frame


@settings(deadline=None, max_examples=8)
@pytest.mark.parametrize(("function", "vectors"), FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_order_of_labels_does_not_matter(function, vectors, kind, data):
    expected = function(**{key: VECTORS[key] for key in vectors})
    given_ = {}
    for key in vectors:
        order = data.draw(st.permutations(range(4)))
        given_[key] = KINDS[kind]([VECTORS[key][k] for k in order], [NAMES[k] for k in order])
    np.testing.assert_allclose(plain(sorted_like(function(**given_), given_[vectors[0]])), expected)


def sorted_like(found, first):
    """Return what is there for each label in the order of NAMES; else as it is."""
    if np.ndim(np.squeeze(found)) == 0:
        return found
    labels = first[0] if isinstance(first, list) else first
    labels = list(labels.columns if isinstance(labels, pd.DataFrame) else labels.keys())
    labels = [label[-1] if isinstance(label, tuple) else label for label in labels]
    return np.ravel(found)[[labels.index(name) for name in NAMES]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("function", "vectors"), FUNCTIONS)
def test_labels_that_do_not_match_are_refused(function, vectors, kind):
    key = vectors[1]
    arguments = {name: KINDS[kind](VECTORS[name], NAMES) for name in vectors}
    wrong = {
        rf"The '{key}' must have the labels of the '{vectors[0]}', .*without .*'labs'.* and with .*'lab'": [
            *NAMES[:2],
            "lab",
            NAMES[3],
        ],
        rf"The '{key}.*' must have each label once .* Got .*'axial'.* twice": ["axial", *NAMES[:3]],
    }
    for message, names in wrong.items():
        if "once" in message and kind in ("mapping", "proxy", "list of mappings"):
            continue  # a mapping has no label twice
        arguments[key] = KINDS[kind](VECTORS[key], names)
        with pytest.raises(ValueError, match=message):
            function(**arguments)


def test_series_in_another_order_by_hand():
    truth = pd.Series([0.7, 0.2, 0.1, 0.0], index=NAMES)
    estimate = truth[::-1]
    assert score.rmse(truth, estimate) == 0
    assert score.rbo(truth, estimate) == 1
    assert score.skill(truth, dict(estimate)) == 1
    assert score.kendall_tau_b(dict(truth), estimate) == 1
    # 4 values with an error of 0.3 and 12 with 0.1
    cases = pd.Series([0.3, 0.1], index=["a", "b"]), pd.Series([12, 4], index=["b", "a"])
    assert score.pooled_rmse(*cases) == pytest.approx(np.sqrt(0.03))


def test_one_side_with_labels_is_taken_by_its_places():
    truth = pd.Series(TRUTH, index=NAMES)
    assert score.rmse(truth, ESTIMATE) == score.rmse(TRUTH, ESTIMATE)
    assert score.rmse(TRUTH, dict(zip(NAMES, ESTIMATE, strict=True))) == score.rmse(TRUTH, ESTIMATE)
    # what pandas numbers itself has no labels …
    assert score.rmse(truth, pd.Series(ESTIMATE)) == score.rmse(TRUTH, ESTIMATE)
    # … unless both are numbered: sorted values know where they were
    numbered = pd.Series(TRUTH)
    assert score.rmse(numbered, numbered.sort_values()) == 0
    with pytest.raises(ValueError, match=r"must match the 'truth', shape \(4,\)\. Got shape \(3,\)"):
        score.rmse(truth, [1, 2, 3])


def test_rows_of_frames_are_matched_by_their_labels():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.random((3, 4)), columns=NAMES, index=["x", "y", "z"])
    error = pd.DataFrame(0.05 * rng.random((3, 4)), columns=NAMES, index=["x", "y", "z"])
    estimate = pd.DataFrame(rng.random((3, 4)), columns=NAMES, index=["x", "y", "z"])
    mixed = estimate.loc[["z", "x", "y"], NAMES[::-1]]
    expected = score.rbo(truth.to_numpy(), estimate.to_numpy(), truth_standard_error=error.to_numpy())
    np.testing.assert_array_equal(
        score.rbo(truth, mixed, truth_standard_error=error.iloc[[1, 0, 2]]), expected
    )
    # one truth for all rows, and rows that bear no names of their own
    np.testing.assert_array_equal(
        score.rmse(truth.loc["x"], mixed), score.rmse(truth.to_numpy()[0], mixed[NAMES].to_numpy())
    )
    np.testing.assert_array_equal(score.rmse(truth[:1], mixed), score.rmse(truth.loc["x"], mixed))
    np.testing.assert_array_equal(
        score.rmse(truth, estimate.reset_index(drop=True)), score.rmse(truth, estimate)
    )
    with pytest.raises(
        ValueError, match=r"must have the rows of the 'truth', 'x', 'y', 'z'\. Got them without"
    ):
        score.rmse(truth, estimate.rename(index={"x": "w"}))
    # a scenario may have two seeds: rows of one table may bear a name twice, in the same order
    twice = ["x", "x", "y"]
    np.testing.assert_array_equal(
        score.rmse(truth.set_axis(twice), estimate.set_axis(twice)), score.rmse(truth, estimate)
    )
    with pytest.raises(ValueError, match="must have each row once"):
        score.rmse(truth.set_axis(twice), estimate.set_axis(twice[::-1]))


def test_rows_of_a_list_have_the_labels_of_its_first():
    truth = pd.Series(TRUTH, index=NAMES)
    np.testing.assert_array_equal(score.rmse(truth, [truth, truth[::-1], dict(truth[::-1])]), [0, 0, 0])
    with pytest.raises(ValueError, match=r"The 'estimate\[1\]' must have the labels of the 'estimate\[0\]'"):
        score.rmse(truth, [truth, truth.rename({"labs": "lab"})])


def test_what_is_labelled_but_no_numbers_is_refused():
    with pytest.raises(ValueError, match="The 'truth' must be numbers"):
        score.rmse({"axial": [1, 2], "labs": [3, 4]}, [1, 2])
    with pytest.raises(ValueError, match="The 'estimate' must hold one or more values"):
        score.normalise({})


@settings(deadline=None, max_examples=8)
@pytest.mark.parametrize(("function", "vectors"), [it.values for it in FUNCTIONS if len(it.values[1]) > 2])  # noqa: PD011 - no frame
@given(data=st.data())
def test_labels_are_matched_though_the_first_argument_has_none(function, vectors, data):
    expected = function(**{key: VECTORS[key] for key in vectors})
    given_ = {key: VECTORS[key] for key in vectors}
    given_[vectors[1]] = pd.Series(VECTORS[vectors[1]], NAMES)
    order = data.draw(st.permutations(range(4)))
    given_[vectors[2]] = pd.Series(VECTORS[vectors[2]], NAMES).iloc[order]
    np.testing.assert_allclose(function(**given_), expected)
    given_[vectors[2]] = given_[vectors[2]].rename({"labs": "lab"})
    with pytest.raises(ValueError, match=rf"'{vectors[2]}' must have the labels of the '{vectors[1]}'"):
        function(**given_)


def test_rows_of_errors_and_estimates_are_matched_where_there_is_one_truth():
    rng = np.random.default_rng(0)
    estimate, error = (
        pd.DataFrame(scale * rng.random((3, 4)), columns=NAMES, index=["x", "y", "z"]) for scale in (1, 0.2)
    )
    for truth in (TRUTH, pd.Series(TRUTH, index=NAMES)):
        np.testing.assert_array_equal(
            score.rbo(truth, estimate, truth_standard_error=error.iloc[[2, 0, 1], ::-1]),
            score.rbo(TRUTH, estimate.to_numpy(), truth_standard_error=error.to_numpy()),
        )


def in_an_object_array(*items):
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def test_an_object_array_of_vectors_is_a_list_of_them():
    truth = pd.Series(TRUTH, index=NAMES)
    for vector in (truth[::-1], dict(truth[::-1])):
        assert score.rmse(truth, in_an_object_array(vector)).tolist() == [0]


FRAME = pd.DataFrame([TRUTH, ESTIMATE], columns=NAMES)


@pytest.mark.parametrize(
    "nested",
    [
        pytest.param([FRAME, FRAME], id="list of frames"),
        pytest.param((FRAME[NAMES[::-1]],), id="tuple of one frame"),
        pytest.param([[FRAME.loc[0]], [FRAME.loc[1]]], id="lists of lists of series"),
        pytest.param([[dict(FRAME.loc[0])]], id="list of a list of mappings"),
        pytest.param(in_an_object_array(FRAME, None), id="object array of frames"),
        pytest.param(in_an_object_array(FRAME.loc[0])[None], id="object array of two axes"),
        pytest.param([in_an_object_array(FRAME.loc[0])], id="list of object arrays"),
    ],
)
@pytest.mark.parametrize("key", ["truth", "estimate", "truth_standard_error"])
def test_labels_further_in_are_refused(nested, key):
    with pytest.raises(ValueError, match=rf"'{key}' must be a table of labelled vectors.*pass one DataFrame"):
        score.rbo(**({"truth": TRUTH, "estimate": ESTIMATE} | {key: nested}))
