from collections import namedtuple
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from methods import Attribution, Flagged, FusionModel, Method, NotApplicableError, SeparableModel

D = 25  # fusion features of the network
NAMES = ("axial", "clinical", "coronal", "history")


def method(returned, **options):
    """Return a method that returns a given thing."""
    return Method(name="fake", function=lambda *_: returned, estimand="gradient", **options)


def local(n=40):
    return np.random.default_rng(0).standard_normal((n, D))


def test_networks_satisfy_the_protocols(network):
    assert isinstance(network, FusionModel)
    assert isinstance(network, SeparableModel)
    assert not isinstance(object(), FusionModel)


def test_local_values_become_sums_of_mean_absolute_values(network, samples, rng):
    values = local()
    result = method(values).attribute(network, samples, rng)
    assert tuple(result.modalities) == NAMES
    for name, columns in network.groups.items():
        by_hand = [sum(abs(values[i, j]) for i in range(40)) / 40 for j in range(D)[columns]]
        np.testing.assert_allclose(result.features[name], by_hand)
        assert result.modalities[name] == pytest.approx(sum(by_hand))


def test_aggregations_differ_where_signs_cancel(network, samples, rng):
    values = np.zeros((40, D))
    values[:20, 0], values[20:, 0] = 1, -1  # cancels
    values[:, 11] = -2  # does not
    absolute = method(values).attribute(network, samples, rng).modalities
    signed = method(values, aggregation="absolute_mean").attribute(network, samples, rng).modalities
    assert absolute == {"axial": 1, "clinical": 2, "coronal": 0, "history": 0}
    assert signed == {"axial": 0, "clinical": 2, "coronal": 0, "history": 0}


@pytest.mark.parametrize("aggregation", ["mean_absolute", "absolute_mean"])
def test_global_values_are_summed_as_they_are(network, samples, rng, aggregation):
    values = np.arange(D) - 12.0
    result = method(values, aggregation=aggregation).attribute(network, samples, rng)
    expected = {name: values[columns].sum() for name, columns in network.groups.items()}
    assert result.modalities == expected
    assert result.modalities["axial"] < 0


def test_as_many_samples_as_features_are_no_ambiguity(network, samples, rng):
    square = method(local(D)).attribute(network, samples.take(slice(0, D)), rng)
    assert square.modalities["axial"] == pytest.approx(np.abs(local(D)[:, :10]).mean(0).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_tensors_and_arrays_are_the_same(network, samples, rng, dtype):
    values = torch.from_numpy(10 * local()).to(dtype)
    if dtype.is_floating_point:
        values.requires_grad_()
    from_tensor = method(values).attribute(network, samples, rng)
    from_array = method(values.detach().numpy()).attribute(network, samples, rng)
    assert from_tensor.modalities == from_array.modalities
    assert all(type(value) is float for value in from_tensor.modalities.values())


def test_a_mapping_is_ordered_and_made_of_plain_numbers(network, samples, rng):
    raw = {"history": torch.tensor(4.0), "coronal": np.float32(-3), "axial": 1, "clinical": 2.5}
    result = method(raw).attribute(network, samples, rng)
    assert list(result.modalities.items()) == [
        ("axial", 1.0),
        ("clinical", 2.5),
        ("coronal", -3.0),
        ("history", 4.0),
    ]
    assert all(type(value) is float for value in result.modalities.values())
    assert dict(result.features) == {}


def test_an_attribution_keeps_its_features(network, samples, rng):
    given = Attribution(dict.fromkeys(reversed(NAMES), 1.0), {"axial": np.array([0.5, 0.5])})
    result = replace(method(given), level="input").attribute(network, samples, rng)
    assert tuple(result.modalities) == NAMES
    assert result.features["axial"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("returned", "shape"),
    [
        (np.ones((41, D)), f"(41, {D})"),
        (np.ones((0, D)), f"(0, {D})"),
        (np.ones((40, D - 1)), f"(40, {D - 1})"),
        (np.ones((D, 40)), f"({D}, 40)"),
        (torch.ones(D + 1), f"({D + 1},)"),
        (np.ones(40), "(40,)"),
        (1.0, "()"),
        (np.ones((40, D, 1)), f"(40, {D}, 1)"),
        ([1.0, 2.0, 3.0], "(3,)"),
    ],
)
def test_a_wrong_shape_is_named_with_the_right_ones(network, samples, rng, returned, shape):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        method(returned).attribute(network, samples, rng)
    assert f"Method 'fake' must return local attributions of shape (40, {D})" in str(error.value)
    assert f"shape ({D},)" in str(error.value)
    assert f"Got shape {shape}." in str(error.value)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_one_value_a_modality_may_be_a_sequence(network, samples, rng, kind):
    found = method(kind([1.0, 2.0, 3.0, 4.0])).attribute(network, samples, rng)
    assert found.modalities == dict(zip(network.modalities, [1.0, 2.0, 3.0, 4.0], strict=True))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["local", "global", "mapping", "attribution"])
def test_what_is_not_finite_is_refused_by_name(network, samples, rng, form, bad):
    values = local()
    values[3, 11] = bad
    named = {"axial": 1.0, "clinical": bad, "coronal": 1.0, "history": 0.0}
    returned = {
        "local": values,
        "global": values[3],
        "mapping": named,
        "attribution": Attribution(named),
    }[form]
    with pytest.raises(
        ValueError, match=r"'fake' must return finite importances. Got -?(nan|inf) for 'clinical'"
    ):
        method(returned).attribute(network, samples, rng)


@pytest.mark.parametrize(
    "names", [NAMES[:3], (*NAMES, "genome"), ("Axial", *NAMES[1:]), ()], ids=["few", "many", "other", "none"]
)
@pytest.mark.parametrize("form", [dict, Attribution])
def test_other_modalities_are_refused(network, samples, rng, form, names):
    with pytest.raises(ValueError, match=r"'fake' must give one value for each of .*'axial'.* Got \["):
        method(form(dict.fromkeys(names, 1.0))).attribute(network, samples, rng)


@pytest.mark.parametrize("needs_labels", [False, True])
def test_labels_are_shown_to_those_only_who_declare_them(network, samples, rng, needs_labels):
    seen = []

    def look(model, given, generator):
        assert model.head is network.head
        assert generator is rng
        seen.append(given)
        return dict.fromkeys(model.modalities, 1.0)

    looking = Method(name="look", function=look, estimand="gradient", needs_labels=needs_labels)
    looking.attribute(network, samples, rng)
    if needs_labels:
        assert torch.equal(seen[0].labels, samples.labels)
    else:
        assert seen[0].labels is None
        looking.attribute(network, samples.without_labels(), rng)
    assert all(torch.equal(seen[0].inputs[name], samples.inputs[name]) for name in NAMES)


def test_a_combination_shows_labels_to_its_components_only_as_they_declare(network, samples, rng):
    seen = {}

    def component(name, *, needs_labels):
        def look(model, given, generator):
            seen[name] = (given.labels is not None, generator.random())
            return dict.fromkeys(model.modalities, 1.0)

        return Method(name=name, function=look, estimand="gradient", needs_labels=needs_labels)

    both = Method(
        name="both",
        function=lambda parts: parts["with"].modalities,
        estimand="gradient",
        needs_labels=True,
        components=(component("with", needs_labels=True), component("without", needs_labels=False)),
    )
    assert both.attribute(network, samples, rng).modalities == dict.fromkeys(NAMES, 1.0)
    assert (seen["with"][0], seen["without"][0]) == (True, False)
    assert seen["with"][1] != seen["without"][1]  # each draws from a stream of its own


def test_missing_labels_are_an_error_before_the_function_runs(network, samples, rng):
    with pytest.raises(ValueError, match=r"'fake' needs the 'labels' .* pass samples that carry them"):
        method(None, needs_labels=True).attribute(network, samples.without_labels(), rng)


def test_options_reach_the_function_and_the_original_stays(network, samples, rng):
    def function(model, samples, rng, *, a=1, b=2):
        del samples, rng
        return dict.fromkeys(model.modalities, 10.0 * a + b)

    plain = Method(name="f", function=function, estimand="gradient", options={"a": 3})
    changed = plain.with_options({"b": 7, "aggregation": "absolute_mean"})
    assert changed.name == "f(aggregation=absolute_mean, b=7)"
    assert changed.attribute(network, samples, rng).modalities["axial"] == 37
    assert plain.attribute(network, samples, rng).modalities["axial"] == 32
    assert (plain.name, plain.aggregation) == ("f", "mean_absolute")
    assert plain.with_options({}) is plain


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(ValueError, match=r"'aggregation' of method 'fake' must be one of .* Got 'median'"):
        method(None, aggregation="median")


def test_local_attributions_of_some_samples_will_do(network, samples, rng):
    whole = method(local()).attribute(network, samples, rng)
    part = method(local()[:7]).attribute(network, samples, rng)
    expected = np.abs(np.asarray(local()[:7])).mean(0)
    for name, columns in network.groups.items():
        np.testing.assert_allclose(part.features[name], expected[columns])
    assert part.modalities != whole.modalities


def pixels_of(**shapes):
    return Attribution(pixels={name: np.ones(shape) for name, shape in shapes.items()})


def test_a_method_that_targets_pixels_may_leave_modalities_out(network, samples, rng):
    of_pixels = Method(name="fake", function=lambda *_: pixels_of(axial=(3, 28, 28)), estimand="pixels")
    found = of_pixels.attribute(network, samples, rng)
    assert dict(found.modalities) == {}
    assert found.pixels["axial"].shape == (3, 28, 28)
    with pytest.raises(ValueError, match=r"pixels and no value a modality.* Declare estimand='pixels'"):
        method(pixels_of(axial=(3, 28, 28))).attribute(network, samples, rng)  # targets another estimand
    nothing = Method(name="fake", function=lambda *_: Attribution(), estimand="pixels")
    with pytest.raises(ValueError, match=r"one value for each of the modalities"):
        nothing.attribute(network, samples, rng)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("axial", (3, 28, 27)),
        ("axial", (28, 28)),
        ("axial", (41, 28, 28)),
        ("axial", (0, 28, 28)),
        ("clinical", (3, 28, 28)),
        ("liver", (3, 28, 28)),
    ],
)
def test_pixels_must_be_those_of_an_image(network, samples, rng, name, shape):
    found = Attribution(dict.fromkeys(NAMES, 1.0), pixels={name: np.ones(shape)})
    with pytest.raises(
        ValueError, match=r"must give pixels of images, .* the first m of 40 samples"
    ) as error:
        method(found).attribute(network, samples, rng)
    assert str(shape) in str(error.value)
    assert repr(name) in str(error.value)


def test_pixels_must_be_finite(network, samples, rng):
    found = Attribution(dict.fromkeys(NAMES, 1.0), pixels={"axial": np.full((3, 28, 28), np.nan)})
    with pytest.raises(ValueError, match=r"must return finite pixels. Got NaN .* in 'axial'"):
        method(found).attribute(network, samples, rng)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        (("clinical", "axial"), 1.0),
        (("axial", "axial"), 1.0),
        (("axial", "liver"), 1.0),
        (("axial",), 1.0),
        (("axial", "clinical"), np.inf),
    ],
)
def test_interactions_must_be_of_two_modalities_in_order(network, samples, rng, pair, value):
    found = Attribution(dict.fromkeys(NAMES, 1.0), interactions={pair: value})
    with pytest.raises(ValueError, match=r"must give finite interactions of two modalities each"):
        method(found).attribute(network, samples, rng)


def test_a_summary_must_be_finite(network, samples, rng):
    told = Attribution(dict.fromkeys(NAMES, 1.0), summary={"synergy": 0.5})
    assert method(told).attribute(network, samples, rng).summary == {"synergy": 0.5}
    with pytest.raises(ValueError, match=r"must give finite numbers as its summary. Got nan for 'synergy'"):
        method(replace(told, summary={"synergy": np.nan})).attribute(network, samples, rng)


class Retrained:
    def __init__(self, names):
        self.names = self.modalities = tuple(names)
        self.groups = {name: slice(place, place + 1) for place, name in enumerate(self.names)}

    def encode(self, inputs):
        return torch.stack([inputs[name].flatten(1)[:, 0] for name in self.names], dim=1)

    def classify(self, features):
        return features.sum(1)


def test_training_is_given_to_those_only_who_declare_it(network, samples, rng):
    asked = []

    def function(model, samples, rng, *, retrain):
        del samples, rng
        asked.append(retrain(["axial"]).names)
        return dict.fromkeys(model.modalities, 1.0)

    trains = Method(name="fake", function=function, estimand="leave_one_out", needs_training=True)
    with pytest.raises(NotApplicableError, match="cannot be trained"):
        trains.attribute(network, samples, rng)
    trains.attribute(network, samples, rng, retrain=Retrained)
    assert asked == [("axial",)]
    both = Method(
        name="both",
        function=lambda parts: parts["fake"].modalities,
        estimand="gradient",
        components=(trains,),
    )
    both.attribute(network, samples, rng, retrain=Retrained)
    assert asked == [("axial",), ("axial",)]
    method(dict.fromkeys(NAMES, 1.0)).attribute(network, samples, rng, retrain=Retrained)  # not passed on


@pytest.mark.parametrize(("name", "error"), [("axial", np.nan), ("axial", -1.0), ("liver", 0.1)])
def test_standard_errors_must_be_those_of_modalities(network, samples, rng, name, error):
    found = Attribution(dict.fromkeys(NAMES, 1.0), standard_error={name: error})
    with pytest.raises(ValueError, match=rf"must give standard errors .* for '{name}'"):
        method(found).attribute(network, samples, rng)


def test_pixels_must_fit_into_what_is_kept(network, samples, rng):
    found = Attribution(dict.fromkeys(NAMES, 1.0), pixels={"axial": np.full((3, 28, 28), 1e39)})
    with pytest.raises(ValueError, match=r"must return finite pixels"):
        method(found).attribute(network, samples, rng)


NOT_ITS_MASK = np.ma.array(np.ones((40, D)), mask=np.eye(40, D, dtype=bool))
NAMED = dict.fromkeys(NAMES, 1.0)
COLUMNS = [f"{name} {i}" for i, name in enumerate(NAMES * 7)][:D]


@pytest.mark.parametrize(
    "returned",
    [{name: np.ones((40, 28, 28)) for name in NAMES}, np.ones((40, 28, 28)), torch.ones(40, 1, 28, 28)],
)
def test_maps_alone_are_told_where_they_go(network, samples, rng, returned):
    with pytest.raises(ValueError, match=r"Maps of pixels go into methods\.Attribution.*estimand='pixels'"):
        method(returned).attribute(network, samples, rng)


def test_a_named_tuple_is_read_by_its_names(network, samples, rng):
    Values = namedtuple("Values", reversed(NAMES))  # noqa: PYI024
    found = method(Values(*range(len(NAMES)))).attribute(network, samples, rng)
    assert dict(found.modalities) == {name: float(place) for place, name in enumerate(reversed(NAMES))}


def test_a_method_without_a_return_is_told(network, samples, rng):
    with pytest.raises(ValueError, match=r"'fake' must return values. Got None: the 'return' is missing"):
        method(None).attribute(network, samples, rng)


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (NOT_ITS_MASK, "masked values, 25 of 1000"),
        ([np.ma.array(np.ones(D), mask=np.arange(D) == 3)], "masked values, 1 of 25"),
        ({**NAMED, "axial": np.ma.masked}, "masked values, 1 of 1"),
        ({**NAMED, "axial": np.array(["1.5"])}, "values of type <U3"),
        ({**NAMED, "axial": "1.5"}, "text, '1.5'"),
        ({**NAMED, "axial": np.ones(2)}, r"an array of shape \(2,\)"),
        ({**NAMED, "axial": None}, "None "),
        (np.ones((40, D)) * 1j, "values of type complex128"),
        (torch.ones(40, D, dtype=torch.complex64), "a tensor of type torch.complex64"),
        (np.full((40, D), "1"), "values of type <U1"),
        (np.full((40, D), "1", dtype=object), "'1' among the values"),
        (np.full((40, D), None, dtype=object), "None among the values"),
        (np.full(D, np.datetime64("2020-01-01")), "values of type datetime64"),
        (set(range(D)), "a set, which is no array"),
        ([np.ones(D), np.ones(D - 1)], "parts that differ in shape"),
        (pd.DataFrame(np.ones((40, D)), columns=COLUMNS), "labels .'axial 0', .*instead of an order"),
        (pd.DataFrame(np.ones((40, D)), columns=range(D)[::-1]), "labels .24, 23, .*instead of an order"),
        (pd.Series([1.0] * 5, index=[*NAMES, "axial"]), "a label that stands twice"),
        (pd.DataFrame({i: pd.array([1, None], dtype="Int64") for i in range(D)}), "<NA> among the values"),
        (Attribution(NAMED, features={"clinical": NOT_ITS_MASK[0]}), "masked .*features of 'clinical'"),
        (Attribution(NAMED, standard_error={"axial": np.ma.masked}), "masked .*standard_error of 'axial'"),
        (Attribution(NAMED, interactions={("axial", "clinical"): "much"}), "text, 'much'.*interactions"),
        (
            Attribution(NAMED, pixels={"axial": np.ma.masked_less(np.zeros((2, 28, 28)), 1)}),
            "masked .*pixels of 'axial'",
        ),
        (Attribution(list(NAMES)), "a list without names .its modalities"),
    ],
)
def test_what_is_no_real_number_or_has_another_order_is_refused(network, samples, rng, returned, found):
    with pytest.raises(ValueError, match=rf"Method 'fake' must return real numbers, .* Got .*{found}"):
        method(returned).attribute(network, samples, rng)


@pytest.mark.parametrize(
    "kind",
    [
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        lambda x: torch.tensor(x).to_sparse(),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(int),
        lambda x: x.astype(object),
        np.ma.array,
        scipy.sparse.csr_array,
        pd.DataFrame,
        lambda x: x.tolist(),
        lambda x: [torch.tensor(row) for row in x],
        list,
        tuple,
    ],
)
def test_every_kind_of_array_says_the_same(network, samples, rng, kind):
    values = np.arange(40 * D).reshape(40, D) % 7 - 3.0
    expected = method(values).attribute(network, samples, rng)
    found = method(kind(values)).attribute(network, samples, rng)
    assert found.modalities == pytest.approx(expected.modalities)


@pytest.mark.parametrize(
    "kind",
    [
        lambda named: pd.Series(named)[::-1],
        lambda named: {name: torch.tensor(value, requires_grad=True) for name, value in named.items()},
        lambda named: {name: np.array([[value]]) for name, value in named.items()},
        lambda named: {name: np.float32(value) for name, value in named.items()},
        lambda named: Attribution(pd.Series(named)[::-1]),
    ],
)
def test_values_by_name_find_their_modality(network, samples, rng, kind):
    named = dict(zip(NAMES, [1.0, 2.5, -3.0, 4.0], strict=True))
    assert dict(method(kind(named)).attribute(network, samples, rng).modalities) == named


@pytest.mark.parametrize(
    "features",
    [{"liver": np.ones(3)}, {"clinical": np.ones((3, 1))}, {"clinical": np.array([1.0, np.nan, 1.0])}],
)
def test_features_must_be_those_of_modalities(network, samples, rng, features):
    with pytest.raises(ValueError, match=r"'fake' must give features of the model's modalities, finite"):
        method(Attribution(NAMED, features=features)).attribute(network, samples, rng)


def test_features_are_as_many_as_the_fusion_vector_has(network, samples, rng):
    """What a method of the inputs attributes to is its own choice."""
    width = network.groups["clinical"].stop - network.groups["clinical"].start
    for n in (0, 1, width - 1, width + 1, 7 * width):
        returned = Attribution(NAMED, features={"clinical": np.ones(n)})
        with pytest.raises(
            ValueError, match=rf"one feature for each column .* {width} for 'clinical'. Got {n};"
        ):
            method(returned).attribute(network, samples, rng)
        found = replace(method(returned), level="input").attribute(network, samples, rng)
        assert found.features["clinical"].shape == (n,)
    assert method(Attribution(NAMED, features={"clinical": np.ones(width)})).attribute(network, samples, rng)


@pytest.mark.parametrize("signed", [{"liver": 1.0}, {"axial": np.nan}, {"axial": 1.0, "history": -np.inf}])
def test_signed_means_are_finite_and_of_modalities(network, samples, rng, signed):
    with pytest.raises(ValueError, match="'fake' must give finite signed means of the model's modalities"):
        method(Attribution(NAMED, signed=signed)).attribute(network, samples, rng)


@pytest.mark.parametrize("flags", ["missing", "", None, 3, ("of note", 3), {"of note"}])
def test_flags_are_sentences_never_letters(network, samples, rng, flags):
    for returned in (Flagged(local(), flags), Flagged(NAMED, flags), Attribution(NAMED, flags=flags)):
        with pytest.raises(ValueError, match=r"'fake' must give its flags as a tuple of sentences. Got"):
            method(returned).attribute(network, samples, rng)


@pytest.mark.filterwarnings("ignore:The PyTorch API of (MaskedTensors|nested tensors):UserWarning")
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (lambda x: torch.masked.masked_tensor(x, x > 0), "a MaskedTensor, which becomes no array"),
        (lambda x: torch.nested.nested_tensor([*x]), "a nested tensor, which becomes no array"),
        (
            lambda x: torch.nested.nested_tensor([*x], layout=torch.jagged),
            "a nested tensor, which becomes no array",
        ),
    ],
)
def test_tensors_without_plain_numbers_are_refused_as_all_else_is(network, samples, rng, kind, found):
    values = torch.randn(40, D, generator=torch.Generator().manual_seed(0))
    for returned in (kind(values), Attribution(NAMED, pixels={"axial": kind(values)})):
        with pytest.raises(ValueError, match=rf"'fake' must return real numbers, .* Got {found}"):
            method(returned).attribute(network, samples, rng)


def test_flags_go_with_what_is_returned_and_with_what_is_made_of_it(network, samples, rng):
    flagged = method(Flagged(local(), ("of note",)))
    assert flagged.attribute(network, samples, rng).flags == ("of note",)
    assert method(Flagged(Attribution(NAMED, flags=("a",)), ("b",))).attribute(
        network, samples, rng
    ).flags == ("a", "b")
    both = Method("both", lambda parts: parts["fake"].modalities, "gradient", components=(flagged,))
    assert both.attribute(network, samples, rng).flags == ("fake: of note",)
