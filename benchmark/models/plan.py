"""How a network is trained: numbers that stand beside the network that they were chosen for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained.

    Attributes:
        learning_rate: the largest one of the schedule.
        schedule: ``constant``, or ``one_cycle`` (Smith & Topin 2019): up, then down to zero.
        weight_decay: of all parameters that have no own in ``weight_decay_of``; 0 is plain Adam.
        batch_size: patients a step.
        max_epochs: passes through the training part, where they make enough steps.
        min_steps: steps at least: with few patients there are more passes, or a small sample would be an
            untrained network.
        patience: epochs without a better validation loss after which training stops; None for never.
        validation_share: part of the *training* split that is held out to choose the epoch.
        weight_decay_of: part of the network → the weight decay of its parameters, e.g. ``{"head": 0.0}``. A
            part is a submodule or parameter by its name in the network (``head``, ``encoder.0.weight``); of
            parts in one another the inner one counts.
        decay: ``decoupled`` from the gradient (AdamW; Loshchilov & Hutter 2019), or ``l2``: added to it
            (Adam), as in most code that is older.
    """

    learning_rate: float
    schedule: Literal["constant", "one_cycle"]
    weight_decay: float
    batch_size: int = 128
    max_epochs: int = 20
    min_steps: int = 300
    patience: int | None = None
    validation_share: float = 0.1
    weight_decay_of: Mapping[str, float] = field(default_factory=dict, hash=False)
    decay: Literal["decoupled", "l2"] = "decoupled"

    def n_epochs(self, n_steps: int) -> int:
        """Return the passes through training data of so many steps each."""
        return max(self.max_epochs, -(-self.min_steps // n_steps))


COMPACT = TrainingPlan(learning_rate=4e-3, schedule="one_cycle", weight_decay=0.1, max_epochs=8)
"""For small networks of strided convolutions: of ``hybrid``, and of what has no plan of its own.

The decay was chosen by accuracy on a part of the training split alone, see results/reference/decay.py:
between 0.01 and 1 it makes no difference there.
"""
