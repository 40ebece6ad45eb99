"""Training of fusion networks, and how well a trained one learnt the decision function."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmark import models
from benchmark.models import FusionNetwork, TrainingPlan
from benchmark.performance import performance
from methods.api import FusionModel
from methods.evaluation import encode
from methods.guard import class_logits
from synthetic.seeding import derive_seed, torch_rng
from synthetic.settings import own_settings
from synthetic.types import Samples, as_float

_AT_ONCE = 1024
"""Samples that a model evaluates at a time."""


@dataclass(frozen=True)
class Fidelity:
    """How well a model learnt the decision function, on the test split.

    Attributes:
        accuracy: share of right labels.
        auroc: area under the receiver operating characteristic; the mean over classes against the rest where
            there are three or more.
        r2: squared correlation between the logit (of three classes or more: the expected class) and F.
        chance: accuracy of always naming the most frequent class.
        ceiling: accuracy of the Bayes classifier.
    """

    accuracy: float
    auroc: float
    r2: float
    chance: float = 0.5
    ceiling: float = 1.0


def fit(
    name: str, train: Samples, *, seed: int, n_classes: int | None = None, plan: TrainingPlan | None = None
) -> FusionNetwork:
    """Train a network on the training split and return it in evaluation mode.

    A part of the training split is held out; the weights of the epoch with the least loss on it are kept.

    Args:
        name: network, as ``benchmark.models.get`` takes it.
        train: with labels.
        seed: decides weights, batches and the held-out part; the global generator is left as it was.
        n_classes: of the scenario, some of which a small split may lack; None for those that are there.
        plan: None for the network's own.

    Raises:
        ValueError: if the labels are missing, hold one class only, or a class that there is not, or there is
            no such network, or it comes with weights.
    """
    if models.weights(name) is not None:
        raise ValueError(f"The network {name!r} comes with its weights and is not trained. Leave them out.")
    if train.labels is None or len(train.labels.unique()) < 2:
        raise ValueError(
            "The 'train' samples must carry labels of at least two classes. "
            f"Got {'none' if train.labels is None else 'one class'}."
        )
    n_seen = int(train.labels.max()) + 1
    n_classes = n_seen if n_classes is None else n_classes
    if n_seen > n_classes:
        raise ValueError(
            f"The labels of the 'train' samples must be below 'n_classes' ({n_classes}). Got {n_seen - 1}."
        )
    with own_settings(threads=1):
        torch.manual_seed(derive_seed("training", name, seed))
        network = models.build(name, input_shapes(train), n_classes=n_classes)
        plan = plan or models.plan(name)
        generator = torch_rng("training", name, "batches", seed)
        order = torch.randperm(len(train), generator=generator)
        n_held_out = max(1, round(plan.validation_share * len(train)))
        held_out, rest = train.take(order[:n_held_out]), train.take(order[n_held_out:])
        for stage in _stages(network):
            _optimise(stage, rest, held_out, plan, generator)
    return network.eval().requires_grad_(requires_grad=False)


def optimiser_of(network: nn.Module, plan: TrainingPlan, *, fused: bool = True) -> torch.optim.Optimizer:
    """Return what takes the steps of a network's training: Adam, with each part's own weight decay.

    Args:
        network: to be trained.
        plan: how.
        fused: whether a step is one kernel.

    Raises:
        ValueError: if a part that has a weight decay of its own has no parameters in the network.
    """
    kind = torch.optim.AdamW if plan.decay == "decoupled" else torch.optim.Adam
    return kind(_groups(network, plan), plan.learning_rate, weight_decay=plan.weight_decay, fused=fused)


def _groups(network: nn.Module, plan: TrainingPlan) -> list[dict[str, Any]]:
    """Return the parameters by what decides their weight decay: a part of the network, or the plan."""
    decays = plan.weight_decay_of
    groups: dict[str, list[nn.Parameter]] = {part: [] for part in decays}
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        parts = [part for part in decays if f"{name}.".startswith(f"{part}.")]
        (groups[max(parts, key=len)] if parts else rest).append(parameter)
    for part, parameters in groups.items():
        if not parameters:
            known = dict.fromkeys(name.partition(".")[0] for name, _ in network.named_parameters())
            raise ValueError(
                "The 'weight_decay_of' of a training plan must name parts of the network with parameters of "
                f"their own: {', '.join(known)}, or what is in them. Got {part!r}."
            )
    own = [{"params": parameters, "weight_decay": decays[part]} for part, parameters in groups.items()]
    return [{"params": rest}, *own] if rest else own


def input_shapes(samples: Samples) -> dict[str, tuple[int, ...]]:
    """Return modality → input shape without the sample axis."""
    return {name: tuple(value.shape[1:]) for name, value in samples.inputs.items()}


def _stages(network: nn.Module) -> Iterable[nn.Module]:
    """Return what is trained one after another; of a network that does not say, itself."""
    return network.training_stages() if isinstance(network, FusionNetwork) else [network]


def _optimise(
    network: nn.Module, train: Samples, held_out: Samples, plan: TrainingPlan, generator: torch.Generator
) -> None:
    """Train in place and leave the weights of the best epoch."""
    n_steps = -(-len(train) // plan.batch_size)
    n_epochs = plan.n_epochs(n_steps)
    optimiser = optimiser_of(network, plan)
    schedule = None
    if plan.schedule == "one_cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, plan.learning_rate, total_steps=n_epochs * n_steps, pct_start=0.2
        )
    best_loss, best_weights, since_best = float("inf"), copy.deepcopy(network.state_dict()), 0
    for _ in range(n_epochs):
        network.train()
        order = torch.randperm(len(train), generator=generator)
        # tensor_split: batches of nearly equal size, so that none is too small for batch statistics.
        for rows in order.tensor_split(n_steps):
            loss = _loss(network, train.take(rows), generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if schedule is not None:
                schedule.step()
        network.eval()
        with torch.no_grad():
            held_out_loss = float(_loss(network, held_out, None))
        since_best += 1
        if held_out_loss < best_loss:
            best_loss, best_weights, since_best = held_out_loss, copy.deepcopy(network.state_dict()), 0
        if plan.patience is not None and since_best >= plan.patience:
            break
    network.load_state_dict(best_weights)


def _loss(network: nn.Module, samples: Samples, generator: torch.Generator | None) -> Tensor:
    """Return the loss of a training step, or without a generator that which chooses the epoch.

    A network that has no losses of its own is trained on the cross entropy of its logits.
    """
    inputs = {name: as_float(value) for name, value in samples.inputs.items()}
    labels = cast("Tensor", samples.labels)
    if generator is not None and hasattr(network, "training_loss"):
        return cast("FusionNetwork", network).training_loss(inputs, labels, generator)
    if generator is None and hasattr(network, "validation_loss"):
        return cast("FusionNetwork", network).validation_loss(inputs, labels)
    model = cast("FusionModel", network)
    return nn.functional.cross_entropy(class_logits(model.classify(model.encode(inputs))), labels)


def fidelity(
    model: FusionModel, test: Samples, values: Tensor, *, chance: float = 0.5, ceiling: float = 1.0
) -> Fidelity:
    """Measure a model on test samples.

    Args:
        model: the trained network, or the oracle.
        test: the test inputs as the model sees them, with labels.
        values: F of the test patients ``[n]``.
        chance: accuracy without any input.
        ceiling: best possible accuracy.

    Raises:
        ValueError: if the samples carry no labels, or lack a class: there is no AUROC then.
    """
    labels = test.labels
    if labels is None:
        raise ValueError("The 'test' samples must carry labels. Got none.")
    with own_settings(threads=1):
        logits = model_logits(model, test).double()
    found = performance(logits, labels)
    if logits.shape[1] == 2:
        score = logits[:, 1] - logits[:, 0]
    else:
        score = logits.softmax(1) @ torch.arange(logits.shape[1], dtype=torch.float64)
    return Fidelity(
        accuracy=found.accuracy,
        auroc=found.auroc,
        # A model that collapsed to one logit has no correlation, and explains nothing.
        r2=0.0
        if bool((score == score[0]).all())
        else float(torch.corrcoef(torch.stack([score, values.double()]))[0, 1] ** 2),
        chance=chance,
        ceiling=ceiling,
    )


def model_logits(model: FusionModel, samples: Samples) -> Tensor:
    """Return logits ``[n, classes]`` of samples, worked out in parts."""
    return classified(model, encoded(model, samples))


def in_parts(samples: Samples) -> Iterator[Samples]:
    """Yield samples as floats, as many at a time as a network takes at once."""
    for start in range(0, len(samples), _AT_ONCE):
        yield samples.take(slice(start, start + _AT_ONCE)).as_float()


@torch.no_grad()
def encoded(model: FusionModel, samples: Samples) -> Tensor:
    """Return fusion features ``[n, d]`` of samples, worked out in parts."""
    return torch.cat([encode(model, part.inputs) for part in in_parts(samples)])


@torch.no_grad()
def classified(model: FusionModel, features: Tensor) -> Tensor:
    """Return logits ``[n, classes]`` of fusion features ``[n, d]``, worked out in parts."""
    # Copies: a network may work in place, and the features are asked about again.
    return torch.cat([model.classify(part.clone()) for part in features.split(_AT_ONCE)])
