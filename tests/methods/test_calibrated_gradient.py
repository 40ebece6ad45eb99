import math

import numpy as np
import pytest
import torch
from scipy import special

import methods
from methods import calibrated_gradient
from methods.admission import admit
from methods.straighten import straighten, weights
from synthetic.types import Samples

NAMES = tuple(method.name for method in calibrated_gradient.METHODS)
every_method = pytest.mark.parametrize("name", NAMES)
N = 4000


def normal(d, n=N, seed=0, covariance=None):
    """Return ``[n, d]`` whose sample moments are exactly those of N(0, covariance), so closed forms hold."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x -= x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return x if covariance is None else x @ torch.linalg.cholesky(torch.as_tensor(covariance)).T


class Encoded:
    """A fusion model whose modalities are encoded linearly: learnt features, though inputs are tables."""

    def __init__(self, encoders, logits):
        self.modalities = tuple(encoders)
        self._encoders = {name: torch.as_tensor(e, dtype=torch.float32) for name, e in encoders.items()}
        self.groups, start = {}, 0
        for name, encoder in self._encoders.items():
            self.groups[name] = slice(start, start + encoder.shape[1])
            start += encoder.shape[1]
        self._logits = logits

    def encode(self, inputs):
        return torch.cat([inputs[name] @ encoder for name, encoder in self._encoders.items()], dim=1)

    def classify(self, features):
        return self._logits(features)


def linear(kit, widths, slopes, x, *, truth=None, scale=1.0):
    """Return a model with log-odds ``scale · x @ slopes``, and samples labelled by the sign of the true F."""
    slopes = torch.as_tensor(slopes, dtype=torch.float32)
    model = kit.table_model(widths, kit.head_binary(lambda h: scale * h @ slopes))
    f = x.float() @ (slopes if truth is None else torch.as_tensor(truth, dtype=torch.float32))
    return model, model.samples(x, (f > 0).long())


def shares(name, model, samples, seed=0):
    values = methods.get(name).attribute(model, samples, np.random.default_rng(seed)).modalities
    assert tuple(values) == model.modalities
    found = np.array(list(values.values()))
    assert (found >= 0).all()
    return found / found.sum()


def mutual_information(rho2):
    """Return I(sign Z; Z′) in bits, for standard normals that share rho2, by brute force."""
    z = np.linspace(-9, 9, 200_001)
    p = special.ndtr(math.sqrt(rho2) * z / math.sqrt(1 - rho2))
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    entropy = (special.entr(p) + special.entr(1 - p)) / math.log(2)
    return 1 - float((entropy * density).sum() * (z[1] - z[0]))


def test_a_linear_function_of_independent_tables_has_its_exact_values(kit):
    model, samples = linear(kit, {"a": 2, "b": 1, "c": 1}, [2.0, 1.0, 2.0, 0.0], normal(4))
    assert shares("calibrated_gradient", model, samples) == pytest.approx([3 / 5, 2 / 5, 0], abs=0.01)
    for name in ("calibrated_total_effect", "calibrated_shapley"):
        assert shares(name, model, samples) == pytest.approx([5 / 9, 4 / 9, 0], abs=0.01)
    # F before and after correlate by 1 − share; two normal signs differ with probability arccos(ρ) / π.
    flips = np.arccos([4 / 9, 5 / 9, 1])
    assert shares("calibrated_permutation", model, samples) == pytest.approx(flips / flips.sum(), abs=0.01)
    first, second = mutual_information(5 / 9), mutual_information(4 / 9)
    sage = np.array([first + 1 - second, second + 1 - first, 0]) / 2
    assert shares("calibrated_sage", model, samples) == pytest.approx(sage, abs=0.01)


def test_correlated_modalities_share_as_in_owen_and_prieur(kit):
    rho = 0.6
    x = normal(3, covariance=np.array([[1, rho, 0], [rho, 1, 0], [0, 0, 1]]))
    model, samples = linear(kit, {"a": 1, "b": 1, "c": 1}, [1.0, 0.0, 1.0], x)
    assert shares("calibrated_gradient", model, samples) == pytest.approx([0.5, 0, 0.5], abs=0.01)
    total = np.array([1 - rho**2, 0, 1])
    assert shares("calibrated_total_effect", model, samples) == pytest.approx(total / total.sum(), abs=0.01)
    expected = np.array([1 - rho**2 / 2, rho**2 / 2, 1]) / 2
    assert shares("calibrated_shapley", model, samples) == pytest.approx(expected, abs=0.01)
    assert shares("calibrated_permutation", model, samples)[1] == pytest.approx(0, abs=0.01)


def test_correlation_within_a_table_does_not_change_its_slopes(kit):
    covariance = np.eye(4)
    covariance[0, 1] = covariance[1, 0] = 0.9
    model, samples = linear(kit, {"a": 2, "b": 2}, [1.0] * 4, normal(4, covariance=covariance))
    assert shares("calibrated_gradient", model, samples) == pytest.approx([0.5, 0.5], abs=0.01)


@every_method
def test_ten_learnt_copies_of_a_signal_count_as_much_as_its_ten_latents(kit, name):
    x = normal(20).float()
    copies = torch.ones(10, 10) / math.sqrt(10)  # standardised copies of one sum of ten
    weights_ = torch.cat([torch.full((10,), math.sqrt(10) / 10), torch.ones(10)])
    model = Encoded({"image": copies, "table": torch.eye(10)}, kit.head_binary(lambda h: h @ weights_))
    samples = Samples({"image": x[:, :10], "table": x[:, 10:]}, (x.sum(1) > 0).long())
    assert shares(name, model, samples) == pytest.approx([0.5, 0.5], abs=0.015)
    plain = methods.get("gradient").attribute(model, samples, np.random.default_rng(0)).modalities
    assert plain["image"] / sum(plain.values()) == pytest.approx(
        math.sqrt(10) / (10 + math.sqrt(10)), abs=1e-3
    )


@every_method
def test_mixing_a_learnt_modality_linearly_changes_nothing(kit, name):
    x = normal(6).float()
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(6, 8, generator=generator)
    mix = torch.randn(3, 3, generator=generator) + 2 * torch.eye(3)

    def score(h):
        return (h @ hidden).tanh().sum(1)

    found = []
    for a in (2 * torch.eye(3), mix):
        back = torch.block_diag(torch.linalg.inv(a), torch.eye(3))
        model = Encoded(
            {"image": a, "table": torch.eye(3)}, kit.head_binary(lambda h, back=back: score(h @ back))
        )
        labels = (score(x) > 0).long()
        found.append(shares(name, model, Samples({"image": x[:, :3], "table": x[:, 3:]}, labels)))
    assert found[0] == pytest.approx(found[1], abs=2e-3)


@every_method
def test_what_the_labels_do_not_confirm_is_cleared(kit, name):
    truth = [1.0, 1.0, 0, 0, 0]
    model, samples = linear(
        kit, {"a": 1, "b": 1, "noise": 3}, [1.0, 1.0, 0.1, -0.1, 0.1], normal(5), truth=truth, scale=5.0
    )
    assert shares(name, model, samples)[2] < 0.005
    rough = shares(f"{name}(calibrate=False)", model, samples)[2]
    assert rough > (0.05 if name in ("calibrated_gradient", "calibrated_permutation") else 0.003)


def test_a_weak_modality_that_the_labels_confirm_stays(kit):
    model, samples = linear(kit, {"a": 1, "b": 1, "weak": 1}, [1.0, 1.0, 0.1], normal(3), scale=5.0)
    assert shares("calibrated_gradient", model, samples) == pytest.approx(
        [1 / 2.1, 1 / 2.1, 0.1 / 2.1], abs=0.01
    )


def test_few_samples_leave_the_network_as_it_is(kit):
    model, samples = linear(kit, {"a": 1, "b": 1, "c": 1}, [1.0] * 3, normal(3, n=12), scale=3.0)
    found = weights(straighten(model, samples, calibrate=False))
    assert min(found) > 0.3
    assert max(found) == 1


def test_labels_that_confirm_nothing_leave_all_weights_at_one(kit):
    model, samples = linear(kit, {"a": 1, "b": 1}, [1.0, 1.0], normal(2), scale=4.0)
    wrong = Samples(samples.inputs, 1 - samples.labels)
    assert weights(straighten(model, wrong, calibrate=False)) == [1.0, 1.0]


@every_method
def test_a_model_without_slopes_gives_zeros(kit, name):
    model = kit.table_model({"a": 1, "b": 2}, lambda h: torch.zeros(len(h), 2) + 0 * h[:, :1])
    samples = model.samples(normal(3, n=50), torch.arange(50) % 2)
    values = methods.get(name).attribute(model, samples, np.random.default_rng(0)).modalities
    assert list(values.values()) == [0, 0]


@every_method
def test_columns_that_do_not_vary_are_harmless(kit, name):
    x = torch.cat([normal(2), torch.full((N, 2), 3.0)], dim=1)
    model, samples = linear(kit, {"a": 1, "b": 2, "c": 1}, [1.0, 1.0, 5.0, -5.0], x, truth=[1.0, 1.0, 0, 0])
    assert shares(name, model, samples) == pytest.approx([0.5, 0.5, 0], abs=0.02)


@every_method
def test_three_classes_of_one_score(kit, name):
    x = normal(3)
    f = x.float() @ torch.tensor([2.0, 1.0, 0.0])
    cut = float(f.std()) * 0.43073  # thirds of a normal law

    def logits(h):
        score = 4 * (h @ torch.tensor([2.0, 1.0, 0.0]))
        return torch.stack([torch.zeros_like(score), score + 4 * cut, 2 * score], dim=1)

    model = kit.table_model({"a": 1, "b": 1, "c": 1}, logits)
    labels = (f > -cut).long() + (f > cut).long()
    found = shares(name, model, model.samples(x, labels))
    if name == "calibrated_gradient":
        assert found == pytest.approx([2 / 3, 1 / 3, 0], abs=0.01)
    if name in ("calibrated_total_effect", "calibrated_shapley"):
        assert found == pytest.approx([4 / 5, 1 / 5, 0], abs=0.01)
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.01


def test_orders_are_sampled_where_there_are_many_modalities(kit):
    slopes = [float(k) for k in range(7, 0, -1)]
    x = normal(7)
    model, samples = linear(kit, {f"m{k}": 1 for k in range(7)}, slopes, x)
    expected = np.square(slopes) / np.square(slopes).sum()
    assert shares("calibrated_shapley", model, samples) == pytest.approx(expected, abs=0.01)
    assert shares("calibrated_sage", model, samples, 0) == pytest.approx(
        shares("calibrated_sage", model, samples, 1), abs=0.02
    )


@every_method
def test_a_run_can_be_repeated_and_does_not_depend_on_batches(network, samples, name, monkeypatch):
    first = shares(name, network, samples)
    assert shares(name, network, samples).tolist() == first.tolist()
    monkeypatch.setattr("methods.evaluation.CLASSIFY_ROWS", 7)
    assert shares(name, network, samples) == pytest.approx(first, abs=1e-4)


def test_one_forward_pass_over_the_samples(kit):
    seen = []
    model = kit.table_model({"a": 2}, lambda h: (seen.append(len(h)), torch.stack([h[:, 0], h[:, 1]], 1))[1])
    admitted, samples = admit(model, model.samples(normal(2, n=30), torch.arange(30) % 2))
    seen.clear()  # of the door
    methods.get("calibrated_shapley").attribute(admitted, samples, np.random.default_rng(0))
    assert sum(seen) == 30


@every_method
def test_labels_are_required_and_so_are_two_samples(network, samples, name, rng):
    function = methods.get(name).function
    with pytest.raises(ValueError, match="Calibrated slopes need the 'labels'"):
        function(network, samples.without_labels(), rng)
    with pytest.raises(ValueError, match=r"at least 2 samples\. Got 1"):
        function(network, samples.take(slice(0, 1)), rng)
