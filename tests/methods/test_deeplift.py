import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

import methods
from methods import NotApplicableError
from methods.deeplift import deeplift, deeplift_shap
from methods.integrated_gradients import integrated_gradients


def one_output(network, *, sigmoid=True):
    """Return a two-class head as a module with one output: p(class 1), or its log-odds.

    captum and shap follow modules, and neither has a rule for softmax under which contributions add up.
    """
    *body, last = network.head
    odds = nn.Linear(last.in_features, 1)
    with torch.no_grad():
        odds.weight.copy_(last.weight[1:] - last.weight[:1])
        odds.bias.copy_(last.bias[1:] - last.bias[:1])
    return nn.Sequential(*body, odds, *([nn.Sigmoid()] if sigmoid else []))


def head(*layers, width=5, n_classes=2, seed=0):
    """Return a head of given layers between linear ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(width, 8), *layers, nn.Linear(8, 6), *layers, nn.Linear(6, n_classes)
        )
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight *= 4
    return network.eval()


def explained(kit, logits, *, width=5, n=40, method="deeplift"):
    model = kit.table_model({"a": width}, logits)
    samples = model.samples(torch.randn(n, width, generator=torch.Generator().manual_seed(1)))
    function = {"deeplift": deeplift, "deeplift_shap": deeplift_shap}[method]
    return function(model, samples, np.random.default_rng(0))


def change(logits, *, width=5, n=40):
    """Return p(target) of the same samples, less that of their mean."""
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        p = logits(x.clone()).softmax(1)
        p_mean = logits(x.mean(0, keepdim=True)).softmax(1)[0]
    target = torch.ones(n, dtype=torch.long) if p.shape[1] == 2 else p.argmax(1)
    return p.gather(1, target[:, None])[:, 0] - p_mean[target]


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@pytest.mark.parametrize("output", ["probability", "log_odds"])
@pytest.mark.parametrize("reference", ["mean", "zero"])
def test_it_agrees_with_captum(network, samples, rng, reference, output):
    with torch.no_grad():
        features = network.encode(samples.inputs)
    start = features.mean(0, keepdim=True) if reference == "mean" else torch.zeros_like(features[:1])
    explainer = captum.attr.DeepLift(one_output(network, sigmoid=output == "probability"))
    theirs = explainer.attribute(features.clone().requires_grad_(), baselines=start).detach()
    found = deeplift(network, samples, rng, reference=reference, output=output)
    assert float(theirs.abs().max()) > 0.05
    torch.testing.assert_close(found, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_with_many_references_it_agrees_with_captum(network, samples, rng):
    with torch.no_grad():
        features = network.encode(samples.inputs)
    explainer = captum.attr.DeepLiftShap(one_output(network))
    theirs = explainer.attribute(features.clone().requires_grad_(), baselines=features).detach()
    found = deeplift_shap(network, samples, rng)
    assert float(theirs.abs().max()) > 0.05
    torch.testing.assert_close(found, theirs, atol=1e-5, rtol=1e-3)


# The package's plots, loaded with it, call functions that matplotlib is about to rename.
@pytest.mark.filterwarnings("ignore:The set_(bad|over|under) function:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_with_many_references_it_agrees_with_the_authors_package(network, samples, rng):
    import shap  # noqa: PLC0415 - importing it warns

    with torch.no_grad():
        features = network.encode(samples.inputs)
    explainer = shap.DeepExplainer(one_output(network), features)
    theirs = explainer.shap_values(features)[..., 0]
    found = deeplift_shap(network, samples, rng)
    np.testing.assert_allclose(found, theirs, atol=1e-5, rtol=1e-3)


class Residual(nn.Module):
    """Written with functions, in-place operators and a parameter that multiplies."""

    def __init__(self):
        super().__init__()
        self.first, self.last = head()[0], head()[-1]
        self.middle = nn.Linear(8, 6)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        hidden = self.first(x) * self.scale
        kept = hidden / 2
        hidden.relu_()
        hidden += kept
        hidden[:, 0] = 0
        return self.last(nn.functional.elu(self.middle(hidden), 1.0, True))


class Attention(nn.Module):
    """Features attend to each other; a gate multiplies; a norm divides."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.rows = nn.Linear(1, 3)
            self.gate, self.norm, self.last = nn.Linear(15, 15), nn.LayerNorm(15), nn.Linear(15, 2)

    def forward(self, x):
        rows = self.rows(x[..., None])
        scores = (rows @ rows.transpose(1, 2)).softmax(-1)
        mixed = (scores @ rows).flatten(1)
        return 3 * self.last(self.norm(mixed * torch.sigmoid(self.gate(mixed)) + x.repeat(1, 3)))


HEADS = {
    "relu": head(nn.ReLU()),
    "relu in place": head(nn.ReLU(inplace=True)),
    "leaky relu in place": head(nn.LeakyReLU(0.1, inplace=True)),
    "tanh, three classes": head(nn.Tanh(), n_classes=3),
    "sigmoid": head(nn.Sigmoid()),
    "gelu": head(nn.GELU()),
    "softplus": head(nn.Softplus()),
    "silu, five classes": head(nn.SiLU(), n_classes=5),
    "residual, functions": Residual().eval(),
    "attention": Attention().eval(),
    "formula": lambda x: torch.stack(
        [x[:, 0] * x[:, 1] - (x[:, 2] >= 0.3).to(x), x[:, 3] ** 2 / (1 + x[:, 4].abs())], dim=1
    ),
    "transposed": lambda x: torch.stack([(x.T.tanh().sum(0)), x.T.square().mean(0)], dim=1),
}


@pytest.mark.parametrize("name", HEADS)
def test_contributions_add_up_to_the_change_whatever_the_classifier_is_made_of(kit, name):
    found = explained(kit, HEADS[name])
    expected = change(HEADS[name])
    assert float(expected.abs().max()) > 0.05
    torch.testing.assert_close(found.sum(1), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", HEADS)
def test_with_many_references_they_add_up_too(kit, name):
    found = explained(kit, HEADS[name], method="deeplift_shap")
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        p = HEADS[name](x.clone()).softmax(1)
    target = torch.ones(40, dtype=torch.long) if p.shape[1] == 2 else p.argmax(1)
    expected = p.gather(1, target[:, None])[:, 0] - p.mean(0)[target]
    torch.testing.assert_close(found.sum(1), expected, atol=2e-4, rtol=0)


def test_a_product_is_shared_equally_and_a_jump_is_seen(kit, rng):
    """Log-odds x₀x₁ + [x₂ ≥ 0]: half the joint change for each factor, all of the jump for x₂."""
    model = kit.table_model(
        {"a": 2, "b": 2}, kit.head_binary(lambda x: x[:, 0] * x[:, 1] + (x[:, 2] >= 0).float())
    )
    x = torch.tensor([[a, b, c, a * c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-3.0, 1.0)])
    found = deeplift(model, model.samples(x), rng, output="log_odds")
    half = x[:, 0] * x[:, 1] / 2
    jump = (x[:, 2] >= 0).float()  # the mean, −1, lies below it
    expected = torch.stack([half, half, jump, torch.zeros(8)], dim=1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_of_one_layer_it_is_integrated_gradients(kit, rng):
    """Then the function is of one variable along the line, and both divide its change in the same way."""
    weights = torch.tensor([1.0, -2.0, 0.5])
    model = kit.table_model({"a": 3}, kit.head_binary(lambda x: torch.tanh(x @ weights) * 3))
    samples = model.samples(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(
        deeplift(model, samples, rng), integrated_gradients(model, samples, rng).values, atol=1e-5, rtol=1e-4
    )


def test_a_linear_score_in_closed_form(kit, rng):
    weights = torch.tensor([2.0, -1.0, 0.0])
    model = kit.table_model({"a": 1, "b": 2}, kit.head_binary(lambda x: x @ weights))
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    centred = weights * (x - x.mean(0))
    samples = model.samples(x)
    torch.testing.assert_close(
        deeplift(model, samples, rng, output="log_odds"), centred, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        deeplift_shap(model, samples, rng, output="log_odds"), centred, atol=1e-5, rtol=1e-4
    )


def test_a_reference_is_a_model_call_and_a_way_back_is_none(network, samples, rng):
    calls = []

    class Counting:
        modalities, groups, encode = network.modalities, network.groups, network.encode

        def classify(self, features):
            calls.append(len(features))
            return network.classify(features)

    deeplift_shap(Counting(), samples, rng, n_references=7)
    assert sorted(calls) == [1] * 7 + [40, 40]


class Clipped(nn.Module):
    """Keeps the largest of three hidden numbers by an operation without a rule."""

    def __init__(self):
        super().__init__()
        self.body, self.last = head(nn.Tanh())[0], nn.Linear(1, 2)
        nn.init.constant_(self.last.weight, 1.0)
        self.last.weight.data[0] = -1

    def forward(self, x):
        return self.last(self.body(x).max(1, keepdim=True).values)


def through_numpy(x):
    values = torch.from_numpy(np.tanh(x.detach().numpy())).requires_grad_()
    return values[:, :2]


def branching(x):
    score = x.tanh() if float(x.detach()[0, 0]) > 0.2 else x.sigmoid()
    return score[:, :2]


@pytest.mark.parametrize(
    ("classify", "message"),
    [
        (Clipped(), "do not add up .* an operation that it has no rule for"),
        (through_numpy, "needs to see the operations of the classifier"),
        (branching, "takes another way for it"),
    ],
)
def test_where_it_cannot_follow_it_says_so(kit, classify, message):
    with pytest.raises(NotApplicableError, match=message):
        explained(
            kit,
            lambda x: (
                classify(torch.cat([x[:, :1] * 0 + 0.3, x[:, 1:]], 1))
                if classify is branching and len(x) > 1
                else classify(x)
            ),
        )


def between(function, *, n_classes=2):
    """Return a head of a function between two linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Linear(5, 6)
        with torch.no_grad():
            first.weight *= 2
            last = nn.Linear(function(torch.zeros(2, 6)).shape[1], n_classes)
    return lambda x: last(function(first(x)))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.cells, self.last = kind(1, 6, batch_first=True), nn.Linear(6, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(3)

    def forward(self, x):
        return self.last(self.cells(x[..., None])[0][:, -1])


WITHOUT_RULE = {
    "lstm": Recurrent(nn.LSTM),
    "gru": Recurrent(nn.GRU),
    "sort": between(lambda y: y.sort(1).values),
    "topk": between(lambda y: y.topk(3, 1).values),
    "where": between(lambda y: torch.where(y > 0, y, 0.1 * y)),
    "masked_fill": between(lambda y: y.masked_fill(y < 0, 0)),
    "cummax": between(lambda y: y.cummax(1).values),
    "cumprod": between(lambda y: y.cumprod(1)),
    "median": between(lambda y: y.median(1, keepdim=True).values),
    "max_pool": between(lambda y: nn.functional.max_pool1d(y[:, None], 2)[:, 0]),
    "remainder": between(lambda y: y.remainder(1.0)),
    "std": between(lambda y: torch.cat([y, 5 * y.std(1, keepdim=True)], 1)),
}
WITH_RULE = {
    "linear": between(lambda y: y),
    "relu": between(torch.relu),
    "tanh, three classes": between(torch.tanh, n_classes=3),
    "gelu, five classes": between(nn.functional.gelu, n_classes=5),
    "einsum of two": between(lambda y: torch.einsum("ni,ni->ni", y, y)),
    "einsum of three": between(lambda y: torch.einsum("ni,ni,ni->ni", y, y, y)),
    "bilinear": between(lambda y: nn.functional.bilinear(y, y, torch.ones(3, 6, 6))),
    "addcmul": between(lambda y: torch.addcmul(y, y, y)),
    "addmm": between(lambda y: torch.addmm(torch.ones(6), y, torch.eye(6)).relu()),
    "layer_norm": between(lambda y: nn.functional.layer_norm(y, (6,))),
    "softmax": between(lambda y: y.softmax(1)),
    "jump": between(lambda y: (y > 0).float()),
}
# Logits times a number, and a number added to that of class 0: the rare class.
RESCALED = [(1e-6, 0), (0.005, 0), (1, 0), (100, 0), (1e6, 0), (1, 8), (1, -8), (1, 1e3), (0.005, 5)]


@pytest.mark.parametrize("method", ["deeplift", "deeplift_shap"])
@pytest.mark.parametrize("name", [*WITHOUT_RULE, *WITH_RULE])
@pytest.mark.few(5)
def test_neither_scale_nor_prevalence_decides_whether_contributions_add_up(kit, name, method):
    classify = (WITHOUT_RULE | WITH_RULE)[name]
    for scale, shift in RESCALED if method == "deeplift" else RESCALED[::4]:

        def logits(x, scale=scale, shift=shift):
            found = classify(x) * scale
            return torch.cat([found[:, :1] + shift, found[:, 1:]], 1)

        if name in WITH_RULE:
            assert explained(kit, logits, method=method).isfinite().all()
        else:
            with pytest.raises(NotApplicableError, match="do not add up"):
                explained(kit, logits, method=method)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
@pytest.mark.parametrize("name", ["relu", "einsum of three", "layer_norm"])
def test_the_units_of_the_features_change_no_contribution(kit, rng, name, scale):
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    found = [
        deeplift(model, model.samples(x * unit), rng)
        for unit in (1.0, scale)
        for model in [kit.table_model({"a": 5}, lambda z, unit=unit: WITH_RULE[name](z / unit))]
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-2)


def test_options_out_of_range_are_errors(network, samples, rng):
    with pytest.raises(ValueError, match=r"'output' .* probability, log_odds. Got 'logit'"):
        deeplift(network, samples, rng, output="logit")
    with pytest.raises(ValueError, match=r"'output' .* probability, log_odds. Got 'logit'"):
        deeplift_shap(network, samples, rng, output="logit")
    with pytest.raises(ValueError, match=r"'n_references' .* at least 1. Got 0"):
        deeplift_shap(network, samples, rng, n_references=0)
    with pytest.raises(ValueError, match=r"'reference' .* mean, zero. Got 'black'"):
        deeplift(network, samples, rng, reference="black")


def test_names_lead_to_them(network, samples, rng):
    for name in ("deeplift(output=log_odds)", "deeplift_shap(n_references=5)"):
        assert methods.get(name).attribute(network, samples, rng).modalities.keys() == set(network.modalities)
