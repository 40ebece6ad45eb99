"""Checks that every network passes: of one of your own in your own tests.

    from benchmark.models.checks import check_model


    def test_my_network():
        check_model("mine:MyNetwork", shapes={"scan": (1, 28, 28), "labs": (10,)})

A check builds small networks, runs them on random inputs and takes no more than moments. Whether a network
learns is for a run to say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from benchmark.models import registry
from benchmark.models.architecture import Architecture
from benchmark.models.base import FusionNetwork
from methods.admission import admit
from methods.api import FusionModel, NotApplicableError
from methods.checks.running import Finding, finding
from methods.guard import class_logits
from synthetic.settings import own_settings
from synthetic.types import Samples

Shapes = Mapping[str, tuple[int, ...]]

KINDS: Mapping[str, Shapes] = {
    "two images and two tables": {"axial": (1, 28, 28), "coronal": (1, 28, 28), "a": (5,), "b": (3,)},
    "three modalities, a table first": {"labs": (4,), "scan": (1, 32, 24), "history": (1,)},
    "tables alone": {"a": (3,), "b": (2,)},
    "one image": {"scan": (1, 28, 28)},
    "six modalities": {f"table {i}": (2,) for i in range(6)},
}
"""What a network must work on, unless shapes are given."""

_N = 12


class CheckError(AssertionError):
    """A network breaks a rule; the message names the network, the rule, what was found and what to do."""


@dataclass(frozen=True)
class Candidate:
    """A kind of network, and the data that it is to work on.

    Attributes:
        model: how to build it.
        kinds: what the data is → modality → input shape without the sample axis.
        n_classes: number of classes.
    """

    model: Architecture
    kinds: Mapping[str, Shapes]
    n_classes: int = 2

    def build(self, shapes: Shapes) -> FusionNetwork:
        """Return a fresh network whose batch statistics are those of some inputs, in evaluation mode."""
        torch.manual_seed(0)
        network = registry.build(self.model, shapes, n_classes=self.n_classes)
        network.train()
        with torch.no_grad():
            for seed in range(3):
                network.encode(inputs_of(shapes, n=32, seed=100 + seed))
        return network.eval()

    def broken(self, rule: str, found: str, advice: str) -> CheckError:
        """Return the error of a network that breaks a rule."""
        return CheckError(f"Model {self.model.name!r} must {rule}. {found}. {advice}.")


Check = Callable[[Candidate], None]


def check_model(
    model: str | Callable[..., Any] | Architecture, *, shapes: Shapes | None = None, n_classes: int = 2
) -> None:
    """Raise an error that says what to do unless a network keeps to the contract.

    Args:
        model: a name as ``benchmark.models.get`` takes it, or a class ``(shapes, *, n_classes)``.
        shapes: modality → input shape without the sample axis; None for each of ``KINDS``.
        n_classes: number of classes.

    Raises:
        CheckError: at the first rule that it breaks; what does not apply to it is passed over.
        ValueError: if there is no such model.

    Example:
        >>> check_model("late", shapes={"labs": (3,), "history": (2,)})
    """
    given = candidate(model, shapes=shapes, n_classes=n_classes)
    for check in CHECKS:
        try:
            check(given)
        except NotApplicableError:
            continue


def run_checks(given: Candidate) -> Iterator[Finding]:
    """Yield what came of each check, as they are done; where something raises, the rest would as well.

    Args:
        given: from `candidate`.
    """
    for check in CHECKS:
        found = finding(check, given)
        if found.raised:
            first = next(iter(given.kinds.values()))
            inputs = ", ".join(f"{name!r} {shape}" for name, shape in first.items())
            told = (
                f"Model {given.model.name!r} must be built as Class(shapes, n_classes=…) and take inputs of "
                f"the shapes that it was built for, as {inputs}. {found.reason} Mend it, or check it on "
                "inputs of other shapes (--scenario NAME)."
            )
            yield replace(found, reason=told)
            return
        yield found


def candidate(
    model: str | Callable[..., Any] | Architecture, *, shapes: Shapes | None = None, n_classes: int = 2
) -> Candidate:
    """Return what a check takes; see `check_model`."""
    if isinstance(model, str):
        found = registry.get(model)
    else:
        found = registry.as_architecture(
            model, name=getattr(model, "name", None) or getattr(model, "__name__", "given")
        )
    return Candidate(found, KINDS if shapes is None else {"the given shapes": shapes}, n_classes)


def inputs_of(shapes: Shapes, *, n: int = _N, seed: int = 0) -> dict[str, Tensor]:
    """Return random inputs ``[n, …]``: images in 0…1, tables standardised."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(n, *shape, generator=generator)
        if len(shape) == 3
        else torch.randn(n, *shape, generator=generator)
        for name, shape in shapes.items()
    }


def check_door(given: Candidate) -> None:
    """Methods can explain it: finite values, the same for a sample each time, alone or among others.

    The rules, and the words, are those of `methods.admission`.
    """
    for what, shapes in given.kinds.items():
        network, inputs = given.build(shapes), inputs_of(shapes)
        try:
            admitted, _ = admit(network, Samples(inputs))
        except ValueError as error:
            told = str(error).replace("The model must", f"Model {given.model.name!r} must", 1)
            raise CheckError(f"{told} This was on {what}.") from error
        with torch.no_grad():
            logits = admitted.classify(admitted.encode(inputs))
            direct = class_logits(network(inputs)) if _can_be_called(network) else logits
        if logits.shape[1] != given.n_classes:
            raise given.broken(
                f"return one logit for each of {given.n_classes} classes",
                f"On {what} it returned {logits.shape[1]}",
                "Return one logit a class, before softmax; of two classes, a single one will do",
            )
        if not torch.allclose(direct, logits, atol=1e-5, rtol=1e-5):
            raise given.broken(
                "return classify(encode(inputs)) when it is called",
                f"On {what} the two differ by {float((direct - logits).abs().max()):.3g}",
                "Let nothing pass from inputs to logits beside the fusion vector",
            )


def _can_be_called(network: nn.Module) -> bool:
    return type(network).forward is not nn.Module.forward


def check_gradients(given: Candidate) -> None:
    """The training loss reaches every parameter: with all modalities there, or with some missing."""
    for what, shapes in given.kinds.items():
        network = given.build(shapes)
        network.train()
        labels = torch.arange(_N) % given.n_classes
        masks: list[dict[str, Tensor] | None] = [None]
        if takes_present(network) and hasattr(network, "training_loss"):
            masks.append(_some_missing(shapes))
        for present in masks:
            _loss(network, inputs_of(shapes), labels, present).backward()
        for name, parameter in network.named_parameters():
            gradient = parameter.grad
            if gradient is None or not bool(gradient.isfinite().all()) or not bool(gradient.any()):
                state = "no" if gradient is None or not bool(gradient.any()) else "an infinite or NaN"
                raise given.broken(
                    "train all its parameters",
                    f"On {what}, {name!r} gets {state} gradient of the training loss",
                    "Use it, or make it a buffer",
                )


def check_missing(given: Candidate) -> None:
    """What a missing modality holds changes nothing, NaN included; without it the answer is another."""
    for what, shapes in given.kinds.items():
        network, inputs = given.build(shapes), inputs_of(shapes)
        if not takes_present(network):
            raise NotApplicableError("knows no missing modalities")
        with torch.no_grad():
            full = network.encode(inputs_of(shapes))
            for name in shapes:
                present = {name: torch.arange(_N) % 2 == 0}
                seen = network.encode(inputs_of(shapes), present)
                torn = inputs[name].clone()
                torn[~present[name]] = float("nan")
                blind = network.encode({**inputs_of(shapes), name: torn.clone()}, present)
                if not torch.equal(seen, blind):
                    raise given.broken(
                        "let nothing through of a modality that is missing",
                        f"On {what}, other values of the missing {name!r} change the fusion features",
                        "Blank its input, and put something in place of its features with torch.where",
                    )
                kept = seen[present[name]] - full[present[name]]
                if float(kept.abs().max()) > 1e-5:
                    raise given.broken(
                        "leave the samples that have a modality as they are",
                        f"On {what}, {name!r} missing elsewhere changes their fusion features",
                        "Treat each sample alone",
                    )
                _check_logits(given, network, {**inputs, name: torn}, present, what)
            nobody = {name: torch.zeros(_N, dtype=torch.bool) for name in shapes}
            _check_logits(given, network, inputs, nobody, what)


def check_state(given: Candidate) -> None:
    """Saved as safetensors and loaded into a fresh network, the weights give the same logits."""
    for what, shapes in given.kinds.items():
        network = given.build(shapes)
        raw = safetensors.torch.save(
            {name: value.contiguous().clone() for name, value in network.state_dict().items()}
        )
        torch.manual_seed(1)
        other = registry.build(given.model, shapes, n_classes=given.n_classes).eval()
        other.load_state_dict(safetensors.torch.load(raw))
        with torch.no_grad():
            if not torch.equal(*(it.classify(it.encode(inputs_of(shapes))) for it in (network, other))):
                raise given.broken(
                    "be its state dict and nothing else",
                    f"On {what}, a network that was saved and loaded says something else",
                    "Register what decides its answers as parameters or buffers",
                )


def check_not_a_number(given: Candidate) -> None:
    """NaN where a modality is there is refused by a ValueError that names it."""
    for what, shapes in given.kinds.items():
        network = given.build(shapes)
        if not takes_present(network):
            raise NotApplicableError("knows no missing modalities")
        for name in shapes:
            inputs = inputs_of(shapes)
            inputs[name].view(_N, -1)[0, 0] = float("nan")
            try:
                network.encode(inputs)
            except ValueError as error:
                if repr(name) in str(error):
                    continue
            raise given.broken(
                "refuse NaN with a ValueError that names the modality",
                f"On {what}, NaN in {name!r} was encoded, or refused without its name",
                "Use FusionNetwork.blanked, or say which modality is wrong",
            )


def takes_present(network: nn.Module) -> bool:
    """Return whether a network's ``encode`` is told which modalities are there."""
    return "present" in inspect.signature(network.encode).parameters  # pyright: ignore[reportArgumentType]


def _check_logits(
    given: Candidate, network: FusionNetwork, inputs: dict[str, Tensor], present: dict[str, Tensor], what: str
) -> None:
    direct = network(_copies(inputs), present)
    apart = network.classify(network.encode(_copies(inputs), present))
    if not (bool(apart.isfinite().all()) and torch.allclose(direct, apart, atol=1e-5, rtol=1e-5)):
        raise given.broken(
            "return finite logits that are classify(encode(inputs, present)) where modalities are missing",
            f"On {what} they are not, without {', '.join(map(repr, present))}",
            "Let the fusion vector say what is missing",
        )


def _copies(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a network may spoil: it is asked again."""
    return {name: value.clone() for name, value in inputs.items()}


def _some_missing(shapes: Shapes) -> dict[str, Tensor]:
    """Return who has what: every modality is missing somewhere, and everyone has one where there are two."""
    if len(shapes) == 1:
        return {name: torch.arange(_N) % 3 > 0 for name in shapes}
    return {name: torch.arange(_N) % len(shapes) != place for place, name in enumerate(shapes)}


def _loss(
    network: FusionNetwork, inputs: dict[str, Tensor], labels: Tensor, present: dict[str, Tensor] | None
) -> Tensor:
    if not hasattr(network, "training_loss"):
        logits = cast("FusionModel", network).classify(network.encode(inputs))
        return nn.functional.cross_entropy(class_logits(logits), labels)
    generator = torch.Generator().manual_seed(0)
    if present is None:
        return network.training_loss(inputs, labels, generator)
    return network.training_loss(inputs, labels, generator, present)


def _apart(check: Check) -> Check:
    """Return a check that leaves threads and the global generator as they were."""

    def run(given: Candidate) -> None:
        with own_settings(threads=1):
            check(given)

    run.__name__, run.__doc__ = check.__name__, check.__doc__
    return run


CHECKS: tuple[Check, ...] = tuple(
    _apart(check)
    for check in (
        check_door,
        check_gradients,
        check_missing,
        check_state,
        check_not_a_number,
    )
)
"""Every check, in the order in which they run."""
