import numpy as np
import pytest
import torch
from scipy import stats

from methods import NotApplicableError
from methods.absent_modalities import AbsentModalities, Links, linked_sets, normal_scores, shrunk_covariance
from synthetic.types import Samples

WIDTHS = {"a": 1, "b": 2, "c": 1}


class Joint:
    """The network without the ability to encode one modality alone."""

    def __init__(self, network):
        self.modalities, self.groups = network.modalities, network.groups
        self.encode, self.classify = network.encode, network.classify


@pytest.fixture
def tables(kit):
    """Return a model over four columns whose logits are the columns themselves, and samples of it."""

    class Plain(kit.table_model):
        def encode_modality(self, name, value):
            return value

    model = Plain(WIDTHS, lambda features: features)
    return model, model.samples(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)))


def linked(n, correlation, seed=0):
    """Return features [n, 4] whose first and last columns are correlated."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 4))
    features[:, 3] = correlation * features[:, 0] + np.sqrt(1 - correlation**2) * features[:, 3]
    return features


def test_absent_modalities_are_one_partners_and_present_ones_ones_own(tables, rng):
    model, samples = tables
    game = AbsentModalities(model, samples, rng, n_draws=5)
    x = game.features
    assert game.partners.shape == (30, 5)
    found = game.answers(np.array([True, False, True]))
    assert torch.equal(found[..., [0, 3]], x[:, None, [0, 3]].expand(-1, 5, -1))
    assert torch.equal(found[..., 1:3], x[game.partners][..., 1:3])
    part = game.answers(np.array([True, False, True]), slice(7, 11))
    assert torch.equal(part, found[7:11])


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("n_draws", [2, 5, 100])
def test_partners_are_others_and_all_serve_alike(tables, rng, n, n_draws):
    model, samples = tables
    partners = AbsentModalities(model, samples.take(slice(0, n)), rng, n_draws=n_draws).partners.numpy()
    assert partners.shape == (n, min(n_draws, n - 1))
    assert all(row not in partners[row] for row in range(n))
    assert all(len(set(row)) == len(row) for row in partners.tolist())
    assert (np.bincount(partners.ravel(), minlength=n) == partners.shape[1]).all()


def test_all_and_none_cost_no_calls(tables, rng):
    model, samples = tables
    game = AbsentModalities(model, samples, rng, n_draws=3)
    game._model = None
    everything, nothing = (game.answers(np.full(3, there)) for there in (True, False))
    assert torch.equal(everything, game.logits[:, None])
    assert torch.equal(nothing, game.logits[game.partners])


def test_swapping_inputs_equals_swapping_columns(network, samples):
    present = np.array([True, False, True, False])
    fast, slow = (
        AbsentModalities(model, samples, np.random.default_rng(0), n_draws=3)
        for model in (network, Joint(network))
    )
    torch.testing.assert_close(fast.answers(present), slow.answers(present))
    rows = slice(5, 9)
    torch.testing.assert_close(fast.answers(present, rows), slow.answers(present, rows))


def test_a_model_that_encodes_all_together_has_no_conditional_absence(network, samples, rng):
    with pytest.raises(NotApplicableError, match=r"one by one"):
        AbsentModalities(Joint(network), samples, rng, absence="conditional")


def test_wrong_options_are_named(tables, rng):
    model, samples = tables
    with pytest.raises(ValueError, match=r"'absence' .* marginal, conditional. Got 'gone'"):
        AbsentModalities(model, samples, rng, absence="gone")
    with pytest.raises(ValueError, match=r"'n_draws' .* at least 2. Got 1"):
        AbsentModalities(model, samples, rng, n_draws=1)
    with pytest.raises(ValueError, match=r"at least 2 samples. Got 1"):
        AbsentModalities(model, samples.take(slice(0, 1)), rng)


def test_where_nothing_is_linked_conditional_is_marginal(tables):
    model, samples = tables
    games = [
        AbsentModalities(model, samples, np.random.default_rng(0), absence=absence, n_draws=4)
        for absence in ("marginal", "conditional")
    ]
    present = np.array([False, True, False])
    assert not games[1].are_linked
    assert torch.equal(games[0].answers(present), games[1].answers(present))


@pytest.mark.parametrize("correlation", [0.9, -0.5])
def test_an_absent_modality_goes_with_the_one_that_it_is_linked_with(tables, rng, correlation):
    model, _ = tables
    samples = model.samples(linked(4000, correlation))
    game = AbsentModalities(model, samples, rng, absence="conditional", n_draws=2)
    assert game.are_linked
    found = game.answers(np.array([True, True, False]))[:, 0].numpy()
    own = game.features.numpy()
    assert np.corrcoef(found[:, 3], found[:, 0])[0, 1] == pytest.approx(correlation, abs=0.03)
    # It is drawn, not predicted: it has its own law, and no tie to the value that it replaces but through a.
    assert stats.ks_2samp(found[:, 3], own[:, 3]).pvalue > 0.01
    assert np.isin(found[:, 3], own[:, 3]).all()
    assert np.corrcoef(found[:, 3], own[:, 3])[0, 1] == pytest.approx(correlation**2, abs=0.03)
    absent = game.answers(np.array([False, True, True]))[:, 0].numpy()
    assert np.corrcoef(absent[:, 3], absent[:, 0])[0, 1] == pytest.approx(correlation, abs=0.03)
    assert np.array_equal(absent[:, 1:], own[:, 1:])


def test_any_margin_keeps_its_values(tables, rng):
    model, _ = tables
    features = linked(3000, 0.8)
    features[:, 0], features[:, 3] = np.exp(features[:, 0]), features[:, 3] > 0.5
    game = AbsentModalities(model, model.samples(features), rng, absence="conditional", n_draws=2)
    found = game.answers(np.array([True, True, False]))[:, 0].numpy()
    assert set(np.unique(found[:, 3])) == {0, 1}
    assert found[:, 3].mean() == pytest.approx(features[:, 3].mean(), abs=0.02)
    high = features[:, 0] > np.median(features[:, 0])
    # Ties blur what the two have in common: 0.49 where it is 0.57, and 0.32 without a link.
    assert found[high, 3].mean() == pytest.approx(features[high, 3].mean(), abs=0.1)


def test_links_are_found_directly_and_through_others():
    rng = np.random.default_rng(1)
    u = rng.standard_normal((500, 5))
    u[:, 2] += u[:, 0]
    u[:, 4] += u[:, 2]
    groups = [slice(place, place + 1) for place in range(5)]
    assert linked_sets(normal_scores(u, rng), groups) == [[0, 2, 4]]
    assert linked_sets(normal_scores(u[:, :2], rng), groups[:2]) == []
    assert linked_sets(normal_scores(u[:3], rng), groups) == []


def test_links_are_rarely_found_where_there_are_none():
    rng = np.random.default_rng(2)
    groups = [slice(0, 10), slice(10, 20), slice(20, 30)]
    drawn = [normal_scores(rng.standard_normal((300, 30)), rng) for _ in range(200)]
    assert np.mean([bool(linked_sets(scores, groups)) for scores in drawn]) < 0.04


def test_constant_and_copied_columns_do_no_harm(tables, rng):
    model, _ = tables
    features = linked(200, 0.9)
    features[:, 1] = 3.0
    features[:, 2] = features[:, 0]
    game = AbsentModalities(model, model.samples(features), rng, absence="conditional", n_draws=3)
    for present in ([True, False, False], [False, True, False], [False, False, True]):
        assert torch.isfinite(game.answers(np.array(present))).all()
        assert (game.answers(np.array(present))[..., 1] == 3).all()


def test_shrinkage_agrees_with_scikit_learn():
    covariance = pytest.importorskip("sklearn.covariance")
    x = np.random.default_rng(0).standard_normal((50, 8)) @ np.diag(np.arange(1, 9.0))
    x -= x.mean(0)
    np.testing.assert_allclose(shrunk_covariance(x), covariance.ledoit_wolf(x)[0], rtol=1e-10)


def test_normal_scores_are_standard_whatever_the_column(rng):
    x = rng.standard_normal((1000, 3))
    x[:, 1], x[:, 2] = x[:, 1] > 1, 5.0
    scores = normal_scores(x, rng)
    assert scores[:, :2].std(0) == pytest.approx([1, 1])
    assert (scores[:, 2] == 0).all()
    assert (scores[:, 0].argsort() == x[:, 0].argsort()).all()
    assert scores[x[:, 1] == 0, 1].max() < scores[x[:, 1] == 1, 1].min()
    assert abs(np.corrcoef(scores[x[:, 1] == 0, 1], np.arange((x[:, 1] == 0).sum()))[0, 1]) < 0.1


def test_samples_and_features_are_left_alone(tables, rng):
    model, _ = tables
    samples = model.samples(linked(100, 0.9))
    before = {name: value.clone() for name, value in samples.inputs.items()}
    game = AbsentModalities(model, samples, rng, absence="conditional", n_draws=3)
    features = game.features.clone()
    game.answers(np.array([True, False, False]))
    assert torch.equal(game.features, features)
    assert all(torch.equal(samples.inputs[name], value) for name, value in before.items())
    assert isinstance(samples, Samples)
    assert Links(features.numpy(), model.groups, rng).sets == [[0, 2]]
