import warnings
from itertools import pairwise

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule
from torch import nn

from methods import NotApplicableError
from methods.lrp import relevance


def head(*activations, bias=True, width=5, n_classes=2, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [width, 8, 6, n_classes]
        layers = []
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            layers.append(nn.Linear(n_in, n_out, bias=bias))
            if i < 2:
                layers.append(activations[i % len(activations)])
    return nn.Sequential(*layers).eval()


def inputs(n=40, width=5):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(1))


def per_class(network, x, rule, **options):
    """Return captum's relevance of each logit ``[classes, n, d]``."""
    relevances = []
    for target in range(2):
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.rule = rule(**options)  # captum takes it away again
        found = captum.attr.LRP(network).attribute(x.clone().requires_grad_(), target=target)
        relevances.append(found.detach())
    return torch.stack(relevances)


@pytest.mark.parametrize("epsilon", [1e-6, 0.1, 10.0])
def test_it_agrees_with_captum(kit, rng, epsilon):
    """Of two classes the log-odds are z₁ − z₀: the relevance of the one less that of the other."""
    network, x = head(nn.ReLU(), nn.ReLU()), inputs()
    theirs = per_class(network, x, EpsilonRule, epsilon=epsilon)
    model = kit.table_model({"a": 5}, network)
    found = relevance(model, model.samples(x), rng, epsilon=epsilon)
    largest = float(theirs.abs().max())  # little where ε takes most of it
    torch.testing.assert_close(found, theirs[1] - theirs[0], atol=1e-4 * largest, rtol=1e-3)


def test_gamma_agrees_with_captum_where_inputs_and_logits_are_positive(kit, rng):
    """captum's rule is the one for positive inputs and outputs; negative hidden outputs pass no ReLU."""
    network, x = head(nn.ReLU(), nn.ReLU(), bias=False), inputs().abs()
    with torch.no_grad():
        network[-1].weight.abs_()
    theirs = per_class(network, x, GammaRule, gamma=0.4)
    model = kit.table_model({"a": 5}, network)
    found = relevance(model, model.samples(x), rng, rule="gamma", gamma=0.4, epsilon=0)
    assert float(theirs.abs().max()) > 0.05
    torch.testing.assert_close(found, theirs[1] - theirs[0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_with_relu_it_is_the_gradient_of_the_log_odds_times_the_input(kit, rng, n_classes):
    model = kit.network({"picture": (1, 28, 28), "table": (4,)}, n_classes=n_classes)
    samples = kit.samples(model.shapes, n=30)
    with torch.no_grad():
        features = model.encode(samples.inputs)
    features.requires_grad_()
    p = model.classify(features).softmax(1)
    target = torch.ones(30, dtype=torch.long) if n_classes == 2 else p.argmax(1)
    log_odds = p.gather(1, target[:, None]).logit()
    (slopes,) = torch.autograd.grad(log_odds.sum(), features)
    expected = (slopes * features).detach()
    torch.testing.assert_close(relevance(model, samples, rng, epsilon=0), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"rule": "gamma"}, {"rule": "gamma", "gamma": 2.0}])
@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.Tanh(), nn.GELU(), nn.Softsign()]
)
def test_without_biases_relevance_is_conserved(kit, rng, activation, options):
    network, x = head(activation, bias=False), inputs()
    model = kit.table_model({"a": 5}, network)
    found = relevance(model, model.samples(x), rng, epsilon=1e-9, **options)
    with torch.no_grad():
        logits = network(x.clone())
    log_odds = logits[:, 1] - logits[:, 0]
    assert float(log_odds.abs().max()) > 0.1
    # Where a layer's output all but vanishes, float32 keeps fewer digits of what is divided by it.
    torch.testing.assert_close(found.sum(1), log_odds, atol=1e-3, rtol=1e-3)


def test_gamma_by_hand(kit, rng):
    """z = x₀ − x₁ of one layer: with γ = 1, what agrees in sign with z counts double."""
    model = kit.table_model({"a": 2}, nn.Linear(2, 2, bias=False))
    layer = model._logits
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    x = torch.tensor([[3.0, 1.0], [1.0, 3.0], [3.0, -1.0]])
    found = relevance(model, model.samples(x), rng, rule="gamma", gamma=1.0, epsilon=0)
    # z = 2: 6/5 and −1/5 of it; z = −2: −1/5 and 6/5; z = 4: 6/8 and 2/8.
    expected = torch.tensor([[2 * 6 / 5, -2 / 5], [2 / 5, -2 * 6 / 5], [3.0, 1.0]])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_product_shares_its_relevance_and_a_constant_keeps_its_own(kit, rng):
    """Log-odds x₀x₁ + exp(x₂): of the exponential, exp(x₂) − 1 is the feature's."""
    model = kit.table_model({"a": 3}, kit.head_binary(lambda x: x[:, 0] * x[:, 1] + torch.exp(x[:, 2])))
    x = inputs(width=3)
    half = x[:, 0] * x[:, 1] / 2
    expected = torch.stack([half, half, torch.expm1(x[:, 2])], dim=1)
    torch.testing.assert_close(relevance(model, model.samples(x), rng), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"rule": "gamma"}])
def test_a_layer_written_as_a_product_with_weights_is_a_layer(kit, rng, options):
    network, x = head(nn.ReLU()), inputs()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]

    def functional(features):
        for layer in layers[:-1]:
            features = (features @ layer.weight.T + layer.bias).relu()
        return features @ layers[-1].weight.T + layers[-1].bias

    models = [kit.table_model({"a": 5}, logits) for logits in (network, functional)]
    module, function = (relevance(model, model.samples(x), rng, **options) for model in models)
    if not options:  # with gamma, a bias inside a layer counts to its output, one added later does not
        torch.testing.assert_close(module, function, atol=1e-4, rtol=1e-3)
    assert function.isfinite().all()


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (lambda x: x.softmax(1)[:, :2], {}, "has no rule for 'softmax' in a classifier"),
        (lambda x: x.square().log()[:, :2], {}, "counts from 0, where 'log' has no value"),
        (
            lambda x: (torch.ones(1, 2, 1) @ x[:, None])[:, :, 0],
            {"rule": "gamma"},
            "no gamma rule for this use",
        ),
    ],
)
def test_where_it_has_no_rule_it_says_so(kit, rng, logits, options, message):
    model = kit.table_model({"a": 5}, logits)
    with pytest.raises(NotApplicableError, match=message):
        relevance(model, model.samples(inputs()), rng, **options)


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0].tanh() ** 2)


class Clone(Own):
    """What torch has a node of the same name for, which is linear."""


def divided(x):
    return torch.ones(1, 5) / (4.0 + x)


def through_numpy(x):
    with torch.no_grad():
        part = torch.from_numpy(x.detach().numpy() ** 2)
    return (x + part)[:, :2]


def squared(x):
    return x * x


def scripted(layer, how=torch.jit.script, *given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated, and still in use
        return how(layer, *given)


NETWORK = head(nn.ReLU(), nn.Tanh())
CELLS, SQUARED = nn.GRU(1, 6, batch_first=True), scripted(squared)
DIVIDED = scripted(divided), scripted(divided, torch.jit.trace, inputs())
HIDING = {
    "scripted": scripted(NETWORK),
    "traced": scripted(NETWORK, torch.jit.trace, inputs()),
    "scripted layers": nn.Sequential(*map(scripted, NETWORK)),
    "scripted at the start": nn.Sequential(scripted(NETWORK[:4]), NETWORK[4]),
    "scripted at the end": nn.Sequential(NETWORK[:4], scripted(NETWORK[4])),
    "one scripted activation": nn.Sequential(NETWORK[:3], scripted(NETWORK[3]), NETWORK[4]),
    "a function of its own": lambda x: NETWORK[4](Own.apply(NETWORK[:3](x))),
    "a function of its own with a name of torch": lambda x: NETWORK[4](Clone.apply(NETWORK[:3](x))),
    "division by the features": lambda x: NETWORK(torch.ops.aten.div.Tensor(torch.ones(1, 5), 4.0 + x)),
    "scripted division by the features": lambda x: NETWORK(DIVIDED[0](x)),
    "traced division by the features": lambda x: NETWORK(DIVIDED[1](x)),
    "statistics of the batch": lambda x: NETWORK(nn.functional.batch_norm(x, None, None, training=True)),
    "statistics of a sample": lambda x: NETWORK(nn.functional.instance_norm(x[:, None])[:, 0]),
    "detached": lambda x: NETWORK(x) + NETWORK(x.detach()),
    "data": lambda x: NETWORK(x) * NETWORK(x.data).sigmoid(),
    "without gradients": lambda x: NETWORK(x) + torch.no_grad()(NETWORK)(x),
    "rounded": lambda x: NETWORK(x + (x.round() - x).detach()),
    "places as numbers": lambda x: NETWORK(x + x.argmax(1, keepdim=True)),
    "changed in place, detached": lambda x: (x.data.tanh_(), NETWORK(x))[1],
    "changed in place, without gradients": lambda x: (torch.no_grad()(torch.tanh_)(x), NETWORK(x))[1],
    "kept in a tensor": lambda x: NETWORK(x) + torch.zeros(len(x), 5).copy_(x.detach())[:, :2],
    "as a number": lambda x: NETWORK(x) * x.mean().item(),
    "vmap": torch.vmap(NETWORK),
    "through numpy": through_numpy,
    "cumprod": lambda x: NETWORK[4](NETWORK[:3](x).cumprod(1)),
    "gru": lambda x: NETWORK[4](CELLS(x[..., None])[0][:, -1]),
    "a scripted product": lambda x: NETWORK(SQUARED(x)),
}
SHOWING = {
    "detached for a mask": lambda x: NETWORK(x * (x.detach().abs() >= 0).to(x)),
    "detached for its shape": lambda x: NETWORK(x + torch.zeros_like(x.detach()) + x.data.new_zeros(5)),
    "a constant as large": lambda x: NETWORK(x + torch.zeros(1).to(x).expand_as(x)),
    "entries in an order": lambda x: NETWORK(
        torch.cat([x[:, :2], x[:, 2:]], 1).gather(1, (x.argsort(1).argsort(1) * 0 + torch.arange(5)))
    ),
    "running statistics": lambda x: NETWORK(
        nn.functional.batch_norm(x, torch.zeros(5), torch.ones(5), eps=0.0)
    ),
    "division of the features": lambda x: NETWORK(torch.ops.aten.div.Tensor(2 * x, torch.full((5,), 2.0))),
    "symbolically traced": torch.fx.symbolic_trace(NETWORK),
    "addmm": lambda x: NETWORK[1:](torch.addmm(NETWORK[0].bias, x, NETWORK[0].weight.T)),
    "einsum": lambda x: NETWORK[1:](torch.einsum("ni,oi->no", x, NETWORK[0].weight) + NETWORK[0].bias),
    "aten": lambda x: NETWORK[4](torch.ops.aten.tanh(NETWORK[2](torch.ops.aten.relu(NETWORK[0](x))))),
    "sliced and joined": lambda x: NETWORK(torch.cat([x[:, :2], x[:, 2:].flip(1).flip(1)], 1) * 2 / 2),
}


@pytest.mark.parametrize("options", [{}, {"rule": "gamma"}])
@pytest.mark.parametrize("name", HIDING)
def test_what_it_does_not_see_it_does_not_pass_over(kit, rng, name, options):
    model = kit.table_model({"a": 5}, HIDING[name])
    with pytest.raises(NotApplicableError, match=r"has no rule for|needs to see the operations"):
        relevance(model, model.samples(inputs()), rng, **options)


@pytest.mark.parametrize("name", SHOWING)
def test_however_a_layer_is_called_it_is_seen(kit, rng, name):
    models = [kit.table_model({"a": 5}, classify) for classify in (NETWORK, SHOWING[name])]
    plain, other = (relevance(model, model.samples(inputs()), rng) for model in models)
    torch.testing.assert_close(other, plain, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "alpha_beta"}, "'rule' .* epsilon, gamma. Got 'alpha_beta'"),
        ({"epsilon": -1.0}, "must not be negative. Got epsilon=-1.0"),
        ({"gamma": float("nan")}, "must not be negative. Got epsilon=1e-06, gamma=nan"),
    ],
)
def test_options_out_of_range_are_errors(network, samples, rng, options, message):
    with pytest.raises(ValueError, match=message):
        relevance(network, samples, rng, **options)
