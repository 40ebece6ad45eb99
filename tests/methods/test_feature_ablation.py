import captum.attr
import pytest
import torch

import methods
from methods.feature_ablation import ablation


@pytest.mark.parametrize("reference", ["mean", "zero"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_agrees_with_captum(kit, rng, reference, n_classes):
    model = kit.network({"a": (5,), "b": (3,)}, n_classes=n_classes)
    samples = kit.samples(model.shapes, n=300)
    features = model.encode(samples.inputs)
    with torch.no_grad():
        logits = model.classify(features)
    target = logits.argmax(1) if n_classes == 3 else 1
    start = features.mean(0, keepdim=True) if reference == "mean" else 0
    explainer = captum.attr.FeatureAblation(lambda fused: model.classify(fused).softmax(1))
    with torch.no_grad():
        single = explainer.attribute(features, baselines=start, target=target)
        mask = torch.tensor([[0] * 5 + [1] * 3])
        joint = explainer.attribute(features, baselines=start, target=target, feature_mask=mask)
    assert float(single.abs().max()) > 0.05
    torch.testing.assert_close(
        ablation(model, samples, rng, reference=reference), single, atol=1e-6, rtol=1e-5
    )
    expected = {"a": float(joint[:, 0].abs().mean()), "b": float(joint[:, 5].abs().mean())}
    name = f"feature_ablation(reference={reference}, unit=modality)"
    assert methods.get(name).attribute(model, samples, rng).modalities == pytest.approx(expected, rel=1e-4)


def test_by_hand(kit, rng):
    """p = ½ + 0.1 x₀ + 0.2 x₁x₂; the means are 0, ½ and ½."""

    def logits(x):
        p = 0.5 + 0.1 * x[:, 0] + 0.2 * x[:, 1] * x[:, 2]
        return torch.stack([1 - p, p], dim=1).log()

    model = kit.table_model({"a": 1, "b": 2}, logits)
    samples = model.samples([[1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
    expected = torch.tensor([[0.1, 0.0, -0.1], [-0.1, -0.1, 0.0]])
    torch.testing.assert_close(ablation(model, samples, rng), expected, atol=1e-6, rtol=0)
    joint = ablation(model, samples, rng, unit="modality")
    assert joint == pytest.approx({"a": 0.1, "b": 0.05}, abs=1e-6)


def test_options_out_of_range_are_errors(network, samples, rng):
    with pytest.raises(ValueError, match=r"'unit' .* 'feature' or 'modality'. Got 'pixel'"):
        ablation(network, samples, rng, unit="pixel")
    with pytest.raises(ValueError, match=r"'reference' .* mean, zero. Got 'black'"):
        ablation(network, samples, rng, reference="black")
