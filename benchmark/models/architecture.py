"""What must be known of a kind of network to build and train one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.models import pretrained
from benchmark.models.plan import COMPACT, TrainingPlan
from benchmark.models.pretrained import Weights
from synthetic.names import check_known
from synthetic.options import that_differ, with_options

_GIVEN = ("shapes", "n_classes")
_WEIGHTS = "weights"
"""Option of every network of the project: the name of a set of weights, see `benchmark.models.pretrained`."""


@dataclass(frozen=True)
class Architecture:
    """A kind of network, before it has weights.

    Attributes:
        name: with its options in parentheses where they differ from the defaults.
        network: ``(shapes, *, n_classes, **options)`` → a ``torch.nn.Module`` that is a ``FusionModel``.
        description: one line.
        plan: how it is trained.
        options: keyword arguments for ``network``.
        parts: names of the other models whose files it is built from.
        weights: what the network is built with instead of being trained; None where it is trained.
    """

    name: str
    network: Callable[..., Any]
    description: str
    plan: TrainingPlan = COMPACT
    options: Mapping[str, object] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    weights: Weights | None = None

    def with_options(self, options: Mapping[str, object]) -> Architecture:
        """Return the architecture with options set, and named after them: ``"contrastive(tokens=False)"``.

        Options with the values that they have anyway are no part of the name.

        The option ``weights`` names weights that lie in the package: such a network is not trained.

        Raises:
            ValueError: if the network takes no option of such a name, or there are no such weights.
        """
        weights = options.get(_WEIGHTS)
        if isinstance(weights, str) and _WEIGHTS not in inspect.signature(self.network).parameters:
            model = self.with_options({name: it for name, it in options.items() if name != _WEIGHTS})
            found = pretrained.find(weights, self.name)
            named = {name: it for name, it in model.options.items() if name not in self.options}
            name = with_options(self.name, {**named, _WEIGHTS: weights})
            return replace(model, name=name, weights=found)
        parameters = list(inspect.signature(self.network).parameters.values())
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            known = [parameter.name for parameter in parameters if parameter.name not in _GIVEN]
            for option in options:
                if not known:
                    raise ValueError(f"The model {self.name!r} takes no options. Got {option!r}.")
                check_known(f"{self.name} option", option, known)
        changed = that_differ(options, self.network, self.options)
        return replace(self, name=with_options(self.name, changed), options={**self.options, **changed})
