import captum.attr
import numpy as np
import pytest
import torch

import methods
from methods.integrated_gradients import expected_gradients, integrated_gradients


def probabilities(model):
    return lambda fused: model.classify(fused).softmax(1)


@pytest.mark.parametrize("reference", ["mean", "zero"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_agrees_with_captum(kit, rng, reference, n_classes):
    model = kit.network({"picture": (1, 28, 28), "table": (5,)}, n_classes=n_classes)
    samples = kit.samples(model.shapes, n=20)
    with torch.no_grad():
        features = model.encode(samples.inputs)
        logits = model.classify(features)
    target = logits.argmax(1) if n_classes == 3 else 1
    start = features.mean(0, keepdim=True) if reference == "mean" else torch.zeros_like(features[:1])
    theirs = captum.attr.IntegratedGradients(probabilities(model)).attribute(
        features, baselines=start.expand_as(features), target=target, n_steps=50, method="gausslegendre"
    )
    found = integrated_gradients(model, samples, rng, reference=reference).values
    assert float(theirs.abs().max()) > 0.05
    torch.testing.assert_close(found, theirs.float(), atol=2e-6, rtol=1e-4)


def test_values_add_up_to_the_change_of_the_probability(kit, rng):
    model = kit.table_model({"a": 3}, kit.head_binary(lambda x: torch.sin(x[:, 0]) * x[:, 1] + x[:, 2] ** 2))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    found = integrated_gradients(model, model.samples(x), rng).values
    p = probabilities(model)
    change = p(x)[:, 1] - p(x.mean(0, keepdim=True))[0, 1]
    torch.testing.assert_close(found.sum(1), change, atol=2e-6, rtol=0)


def test_a_linear_probability_in_closed_form(kit):
    weights = torch.tensor([0.02, -0.03, 0.0])
    model = kit.table_model({"a": 1, "b": 2}, kit.head_linear(weights))
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    centred = weights * (x - x.mean(0))
    options = {"model": model, "samples": model.samples(x)}
    torch.testing.assert_close(
        integrated_gradients(**options, rng=np.random.default_rng(0), n_steps=1).values,
        centred,
        atol=1e-6,
        rtol=0,
    )
    # A sample's references are the others: their mean lies n / (n − 1) times as far away.
    found = expected_gradients(**options, rng=np.random.default_rng(0), n_draws=20_000).values
    torch.testing.assert_close(found, centred * 40 / 39, atol=1e-3, rtol=0)


def test_expected_gradients_are_the_mean_over_references_of_captums_integrated_ones(kit):
    model = kit.network({"a": (6,), "b": (3,)})
    samples = kit.samples(model.shapes, n=12)
    features = model.encode(samples.inputs)
    explainer = captum.attr.IntegratedGradients(probabilities(model))
    expected = torch.stack(
        [
            torch.stack(
                [
                    explainer.attribute(features[i : i + 1], features[j : j + 1], target=1, n_steps=200)[0]
                    for j in range(12)
                    if j != i
                ]
            ).mean(0)
            for i in range(12)
        ]
    )
    runs = torch.stack(
        [
            expected_gradients(model, samples, np.random.default_rng(seed), n_draws=1000).values.double()
            for seed in range(20)
        ]
    )
    error = runs.std(0) / 20**0.5
    assert float(expected.abs().max()) > 20 * float(error.max())
    distance = ((runs.mean(0) - expected) / error.clamp_min(1e-5)).square().mean().sqrt()
    assert float(distance) < 1.5


def test_one_sample_alone_has_nothing_to_differ_from(kit, rng):
    model = kit.network({"a": (4,)})
    samples = kit.samples(model.shapes, n=1)
    assert float(expected_gradients(model, samples, rng).values.abs().max()) == 0
    assert float(integrated_gradients(model, samples, rng).values.abs().max()) == 0


def test_options_out_of_range_are_errors(network, samples, rng):
    with pytest.raises(ValueError, match=r"'n_steps' .* at least 1. Got 0"):
        integrated_gradients(network, samples, rng, n_steps=0)
    with pytest.raises(ValueError, match=r"'reference' .* mean, zero. Got 'black'"):
        integrated_gradients(network, samples, rng, reference="black")
    with pytest.raises(ValueError, match=r"'n_draws' .* at least 1. Got 0"):
        expected_gradients(network, samples, rng, n_draws=0)


def step(x):
    return (x[:, 0] > 0).float() + (x[:, 1] > 0).float()


@pytest.mark.parametrize("scale", [1e-4, 0.005, 1.0, 5.0])
@pytest.mark.parametrize(
    "name", ["integrated_gradients", "integrated_gradients(reference=zero)", "gradient_shap"]
)
def test_a_jump_is_missed_and_flagged_whatever_the_scale(kit, name, scale):
    model = kit.table_model({"a": 1, "b": 2}, kit.head_binary(lambda x: scale * (step(x) + 0 * x[:, 2])))
    samples = model.samples(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
    (flag,) = methods.get(name).attribute(model, samples, np.random.default_rng(0)).flags
    # All of it, but for what rounding may be of a change by 1e-4.
    assert 99 < float(flag.removeprefix("completeness missed by ").removesuffix("%")) <= 100


@pytest.mark.parametrize("scale", [1e-4, 0.005, 1.0, 5.0])
@pytest.mark.parametrize("name", ["integrated_gradients", "gradient_shap", "pixel_integrated_gradients"])
def test_what_adds_up_carries_no_flag(kit, name, scale):
    smooth = kit.head_binary(lambda x: scale * (torch.tanh(x[:, 0]) * x[:, 1] + x[:, 2]))
    model = kit.table_model({"a": 1, "b": 2}, smooth)
    samples = model.samples(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
    assert methods.get(name).attribute(model, samples, np.random.default_rng(0)).flags == ()


@pytest.mark.parametrize("n_draws", [1, 2, 3, 4, 5, 7, 10, 30])
def test_few_draws_are_no_false_alarm(kit, n_draws):
    """Expected gradients add up in the mean, whatever the draws."""
    false = 0
    for seed in range(40):
        model = kit.network({"a": (3,), "b": (2,)}, seed=seed)
        samples = kit.samples(model.shapes, n=50, seed=seed)
        false += bool(expected_gradients(model, samples, np.random.default_rng(seed), n_draws=n_draws).flags)
    assert false <= 2  # of 40


@pytest.mark.parametrize("n_draws", [5, 30])
def test_few_draws_see_a_jump(kit, rng, n_draws):
    model = kit.table_model({"a": 1, "b": 2}, kit.head_binary(lambda x: step(x) + 0 * x[:, 2]))
    samples = model.samples(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
    assert expected_gradients(model, samples, rng, n_draws=n_draws).flags


def test_a_part_that_jumps_is_flagged_by_what_it_is_of_all(kit, rng):
    """p = x₀ / 10 + [x₁ > 0] / 10 + 1 / 2: of |Δp| = .2 for x = (±1, ±1), the half is a jump."""
    p = lambda x: 0.45 + x[:, 0] / 10 + (x[:, 1] > 0).float() / 10  # noqa: E731
    model = kit.table_model({"a": 2}, kit.head_binary(lambda x: torch.logit(p(x))))
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(10, 1)
    # The mean is 0, where nothing has jumped: changes of .2 and −.1, of which .1 and 0 are missed.
    assert methods.get("integrated_gradients").attribute(model, model.samples(x), rng).flags == (
        "completeness missed by 33.3%",
    )


def test_maps_are_flagged_too(kit, rng):
    def jumps(x):
        return torch.where(x.sum(1) > 0, 1.0, -1.0) + 0 * x.sum(1)

    model = kit.table_model({"a": 2, "b": 1}, kit.head_binary(jumps))
    samples = model.samples(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
    (flag,) = methods.get("pixel_integrated_gradients").attribute(model, samples, rng).flags
    assert flag == "completeness missed by 100.0%"
