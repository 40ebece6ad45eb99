from __future__ import annotations

import dataclasses
import logging
import math
import pickle

import numpy as np
import pytest

from synthetic.cache import cache_folder
from synthetic.decision import DecisionFunction, Term
from synthetic.labels import Labels
from synthetic.law import GaussianCopula, LatentLaw, Population
from synthetic.margins import Margin
from synthetic.missing import Missing
from synthetic.truth import ESTIMANDS, MEANINGS, Precision, Truths
from synthetic.types import Modality, Truth

S = 10**-0.5
COVARIANCE = np.array([[1, 0.5, 0.3], [0.5, 1, -0.4], [0.3, -0.4, 1]])
TWISTED = (Term(("a/x",), "tanh", weight=2.0) * Term(("b/x",)), Term(("b/x",)), Term(("c/x",), weight=0.8))
QUICK = Precision(first=16, last=16)


def test_there_are_nine_estimands_each_with_a_meaning(work_out):
    truths = work_out(TWISTED, COVARIANCE, precision=QUICK)
    assert tuple(truths) == ESTIMANDS == tuple(MEANINGS)
    assert len(truths) == len(ESTIMANDS) == 9
    assert all(MEANINGS.values())
    for estimand, truth in truths.items():
        assert truth.estimand == estimand
        assert truth.unit
        assert truth.method
        assert list(truth.modalities) == list(truth.standard_error) == list(truth.raw) == ["a", "b", "c"]
        assert list(truth.raw_standard_error) == ["a", "b", "c"]


def test_an_unknown_estimand_is_answered_with_a_known_one(work_out):
    truths = work_out(TWISTED, COVARIANCE)
    with pytest.raises(ValueError, match=r"estimand 'shaply' is unknown. Did you mean 'shapley'\?"):
        truths["shaply"]


def test_asking_whether_there_is_a_truth_works_nothing_out(work_out):
    truths = work_out([Term(("a/x",), weight=0.0)], np.eye(1))  # every truth over it raises
    assert "shapley" in truths
    assert "shaply" not in truths
    assert truths.keys() >= {"sage", "gradient"}


def test_a_truth_is_worked_out_once(work_out):
    truths = work_out(TWISTED, COVARIANCE, precision=QUICK)
    assert truths["shapley"] is truths["shapley"]
    assert truths["shapley"].subsets == truths["total_effect"].subsets  # one game behind both


def test_too_many_players_are_refused_where_all_subsets_count(work_out):
    names = [f"m{k}" for k in range(21)]
    modalities = tuple(Modality(name, "table", ("x",)) for name in names)
    law = LatentLaw((GaussianCopula(np.eye(21)),))
    truths = Truths(DecisionFunction(modalities, (Term(tuple(f"{name}/x" for name in names)),)), law)
    for estimand in ("shapley", "sage"):
        with pytest.raises(ValueError, match=r"at most 20 modalities that matter\. Got 21"):
            truths[estimand]
    assert sum(truths["gradient"].modalities.values()) == pytest.approx(1)
    # 21 modalities of which F reads one are no trouble.
    one = Truths(DecisionFunction(modalities, (Term(("m7/x",)),)), law)
    assert one["shapley"].modalities["m7"] == 1


SCENARIOS = {
    "product": (
        [Term(("a/*",), coefficients=S) * Term(("b/*",), coefficients=S), Term(("c/*",), coefficients=S)],
        Labels(),
    ),
    "additive": (
        [
            Term(("a/*",), "tanh", weight=2.0, coefficients=2 * S),
            Term(("b/*",), "square", weight=0.7, coefficients=S),
            Term(("c/*",), "exp", weight=0.7, coefficients=0.7 * S),
        ],
        Labels((0.3, 0.3, 0.4)),
    ),
    "gate": (
        [
            Term(("c/0",), "sigmoid", coefficients=4.0) * Term(("a/*",), coefficients=S),
            Term(("c/0",), "sigmoid", coefficients=-4.0) * Term(("b/*",), coefficients=S),
        ],
        Labels(noise=0.1),
    ),
    "step": (
        [Term(("a/*",), coefficients=S), Term(("c/*",), "step", weight=2.5, coefficients=S)],
        Labels((0.8, 0.2)),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.few(1)
def test_default_precision_is_enough(work_out, name):
    terms, labels = SCENARIOS[name]
    terms = [dataclasses.replace(term, features=_places(term), times=_moved(term.times)) for term in terms]
    covariance = np.kron(np.eye(3), np.full((5, 5), 0.3) + 0.7 * np.eye(5))
    covariance[0, 10] = covariance[10, 0] = 0.5
    truths = work_out(terms, covariance, labels, latents=5)
    for estimand, truth in truths.items():
        if (
            estimand != "interaction"
        ):  # follows from the same game; its size is not what the precision aims at
            assert max(truth.standard_error.values()) <= 0.002, estimand
        assert sum(truth.modalities.values()) == pytest.approx(1)
    assert sum(truths["shapley"].raw.values()) == pytest.approx(1)
    assert sum(truths["sage"].raw.values()) == pytest.approx(truths["information"].summary["all"])


def _places(term):
    return tuple(name.replace("c/0", "c/x") for name in term.features)


def _moved(term):
    return (
        None if term is None else dataclasses.replace(term, features=_places(term), times=_moved(term.times))
    )


# On disk


def entries():
    return sorted((cache_folder() / "truths").glob("*.safetensors"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path))
    return tmp_path


def same_bits(one, other):
    """Whether two truths are equal in every field, to the last bit."""

    def flat(value):
        if isinstance(value, dict):
            return [(key, flat(it)) for key, it in value.items()]
        if isinstance(value, float):
            return value.hex()
        if hasattr(value, "players"):
            return (value.modalities, value.players, str(value.values.dtype), value.values.tobytes())
        return value

    return all(
        flat(getattr(one, field.name)) == flat(getattr(other, field.name))
        for field in dataclasses.fields(Truth)
    )


@pytest.mark.parametrize(
    ("terms", "law"),
    [
        (TWISTED, COVARIANCE),
        ([Term(("a/x", "b/x"), weight=1 / 3)], COVARIANCE),
        (
            TWISTED,
            LatentLaw((Population(np.random.default_rng(0).normal(size=(9, 1))), GaussianCopula(np.eye(2)))),
        ),
    ],
    ids=["drawn", "exact", "population"],
)
def test_a_truth_is_recalled_as_it_was(work_out, cache, monkeypatch, terms, law):
    labels = Labels((0.3, 0.3, 0.4), noise=0.1)
    first = work_out(terms, law, labels, cache=True, precision=QUICK)
    kept = dict(first)
    assert len(entries()) == 9
    again = work_out(terms, law, labels, cache=True, precision=QUICK)
    monkeypatch.setattr(Truths, "_work_out", None)  # nothing is worked out anew
    for estimand, truth in kept.items():
        recalled = again[estimand]
        assert recalled is not truth
        assert recalled == truth
        assert same_bits(recalled, truth)
        assert recalled.subsets == truth.subsets
    assert math.isfinite(again["sage"].subsets["information"]["ab"])


VARIANTS = {
    "labels": {"labels": Labels((0.4, 0.6))},
    "noise": {"labels": Labels(noise=0.1)},
    "thresholds": {"labels": Labels(thresholds=(0.1,))},
    "seed": {"precision": Precision(first=16, last=16, seed=1)},
    "points": {"precision": Precision(first=16, last=32)},
    "covariance": {"law": COVARIANCE + 1e-9 * np.eye(3)},
    "margins": {"law": LatentLaw((GaussianCopula(COVARIANCE, (Margin("uniform"), Margin(), Margin())),))},
    "blocks": {"law": LatentLaw((GaussianCopula(np.eye(1)), GaussianCopula(np.eye(2))))},
    "population": {"law": LatentLaw((Population(COVARIANCE[:, :1]), GaussianCopula(np.eye(2))))},
    "other rows": {"law": LatentLaw((Population(COVARIANCE[1:, :1]), GaussianCopula(np.eye(2))))},
    "weight": {"terms": (*TWISTED[:2], Term(("c/x",), weight=0.8 + 1e-12))},
    "function": {"terms": (*TWISTED[:2], Term(("c/x",), "tanh", weight=0.8))},
    "missing": {"missing": {"c/x": Missing(("c/x",))}, "law": np.eye(3)},
    "rate": {"missing": {"c/x": Missing(("c/x",), rate=0.3)}, "law": np.eye(3)},
    "nothing missing": {"law": np.eye(3)},
    "none": {},
}


def test_what_differs_is_not_confused(work_out, cache):
    keys = {}
    for name, changes in VARIANTS.items():
        options = {"terms": TWISTED, "law": COVARIANCE, "precision": QUICK, **changes}
        terms, law = options.pop("terms"), options.pop("law")
        keys[name] = work_out(terms, law, **options)._key
    assert len(set(keys.values())) == len(keys)
    one = work_out(TWISTED, COVARIANCE, cache=True, precision=QUICK)["sage"]
    other = work_out(TWISTED, COVARIANCE, Labels((0.4, 0.6)), cache=True, precision=QUICK)["sage"]
    assert one != other


@pytest.mark.parametrize("damage", ["cut", "empty", "changed"])
def test_a_damaged_entry_is_made_anew(work_out, cache, caplog, damage):
    truth = work_out(TWISTED, COVARIANCE, cache=True, precision=QUICK)["shapley"]
    (entry,) = entries()
    sound = entry.read_bytes()
    raw = bytearray(sound)
    raw[-3] ^= 0xFF
    entry.write_bytes({"cut": sound[:50], "empty": b"", "changed": bytes(raw)}[damage])
    with caplog.at_level(logging.WARNING, logger="synthetic.cache"):
        again = work_out(TWISTED, COVARIANCE, cache=True, precision=QUICK)["shapley"]
    assert "damaged" in caplog.text
    assert same_bits(again, truth)
    caplog.clear()
    assert same_bits(work_out(TWISTED, COVARIANCE, cache=True, precision=QUICK)["shapley"], truth)
    assert not caplog.text  # it was kept again


def test_without_a_cache_nothing_is_kept(work_out, cache):
    work_out(TWISTED, COVARIANCE, precision=QUICK)["shapley"]
    assert not entries()


def test_a_folder_that_cannot_be_written_stops_nothing(work_out, cache, monkeypatch, caplog):
    (cache / "file").write_text("")
    monkeypatch.setenv("PLUMBLINE_CACHE", str(cache / "file"))
    assert work_out(TWISTED, COVARIANCE, cache=True, precision=QUICK)["shapley"].informative
    assert "cannot be written" in caplog.text


def test_the_truth_is_the_same_whoever_asks_first(work_out):
    one, other = (work_out(TWISTED, COVARIANCE, precision=QUICK) for _ in range(2))
    forwards = {estimand: one[estimand] for estimand in ESTIMANDS}
    backwards = {estimand: other[estimand] for estimand in reversed(ESTIMANDS)}
    for estimand in ESTIMANDS:
        assert same_bits(forwards[estimand], backwards[estimand])


def test_truths_survive_the_way_to_another_process(work_out):
    truths = work_out(TWISTED, COVARIANCE, precision=QUICK)
    shapley = truths["shapley"]
    again = pickle.loads(pickle.dumps(truths))  # noqa: S301
    assert again["shapley"] == shapley
    assert again["total_effect"] == truths["total_effect"]


# What there is beside the shares


def test_subsets_ignore_modalities_that_do_not_matter(work_out):
    truths = work_out(
        [Term(("a/x",)) * Term(("c/x",))], np.eye(4), Labels(thresholds=(0.0,)), precision=QUICK
    )
    accuracy = truths["bayes_accuracy"].subsets["accuracy"]
    assert accuracy.modalities == ("a", "b", "c", "d")
    assert accuracy.players == ("a", "c")
    assert accuracy["abcd"] == accuracy["ac"] == 1
    assert accuracy["bd"] == accuracy[()] == 0.5
    with pytest.raises(ValueError, match=r"no modality 'e'\. There are a, b, c, d"):
        accuracy["ae"]


def test_uninformative_truths_share_among_all_modalities(work_out):
    truth = work_out([Term(("a/x",)) * Term(("b/x",))], np.eye(4), Labels(thresholds=(0.0,)))["information"]
    assert not truth.informative
    assert truth.modalities == dict.fromkeys("abcd", 0.25)
    assert set(truth.standard_error.values()) == {0}


def test_an_additive_function_has_no_interaction(work_out):
    for terms in (
        [Term(("a/x", "b/x", "c/x"))],
        [Term((f"{name}/x",), "exp", coefficients=0.5) for name in "abc"],
    ):
        truth = work_out(terms, np.eye(3))["interaction"]
        assert not truth.informative
        assert truth.modalities == pytest.approx(dict.fromkeys("abc", 1 / 3))
        for pair, value in truth.pairs.items():
            assert abs(value) <= 5 * truth.pairs_standard_error[pair] + 1e-9
        assert abs(truth.summary["synergy"]) <= 5 * truth.summary["synergy_standard_error"] + 1e-9


def test_one_modality_has_it_all(work_out):
    truths = work_out([Term(("a/x",), "tanh")], np.eye(1), precision=QUICK)
    for estimand, truth in truths.items():
        assert truth.modalities == {"a": 1.0}
        assert truth.informative == (estimand != "interaction")
    assert truths["interaction"].pairs == {}
    assert truths["shapley"].raw == pytest.approx({"a": 1})
