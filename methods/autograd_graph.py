"""What autograd recorded between an output and an input, whoever computed it: layers may hide, nodes do not.

Functions of torch can be watched where they are called; what is scripted, traced, compiled or an
``autograd.Function`` calls them out of sight. The graph for the backward pass names every operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction


@dataclass(frozen=True)
class Step:
    """One operation on the way from a leaf to an output.

    Attributes:
        node: of the graph.
        name: ``Relu`` of ``ReluBackward0``; of a ``torch.autograd.Function``, whatever it computes, the name
            of its node, ``CloneBackward``.
        inputs: places of those inputs that depend on the leaf, in order.
    """

    node: Any
    name: str
    inputs: tuple[int, ...]

    @property
    def is_own(self) -> bool:
        """Whether this is a ``torch.autograd.Function``, whose name says nothing."""
        return isinstance(self.node, BackwardCFunction)

    @property
    def before(self) -> Iterator[Any]:
        """Nodes of those inputs."""
        return (self.node.next_functions[place][0] for place in self.inputs)


def nodes(output: Tensor, leaf: Tensor) -> Iterator[Step]:
    """Yield the operations on all ways from a leaf to an output, the output's first.

    Args:
        output: computed with gradients.
        leaf: a tensor that requires them and was computed from no other.
    """
    order, known, stack = [], set(), [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in known:
            continue
        known.add(node)
        order.append(node)
        stack += [before for before, _ in node.next_functions]
    leads: set[Any] = {node for node in order if getattr(node, "variable", None) is leaf}
    # A node stands behind all that it leads to only in part of the orders: until nothing is added.
    n_before = -1
    while len(leads) > n_before:
        n_before = len(leads)
        leads |= {node for node in reversed(order) if any(it in leads for it, _ in node.next_functions)}
    for node in order:
        inputs = tuple(place for place, (it, _) in enumerate(node.next_functions) if it in leads)
        if inputs:
            name = type(node).__name__
            own = isinstance(node, BackwardCFunction)
            yield Step(node, name if own else re.sub(r"Backward\d*$", "", name), inputs)
