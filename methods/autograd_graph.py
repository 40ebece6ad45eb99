"""What autograd recorded between an output and an input, whoever computed it: layers may hide, nodes do not.

Functions of torch can be watched where they are called; what is scripted, traced, compiled or an
``autograd.Function`` calls them out of sight. The graph for the backward pass names every operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor


def nodes(output: Tensor, leaf: Tensor) -> Iterator[tuple[str, int]]:
    """Yield the operations on all ways from a leaf to an output, and by how many inputs each depends on it.

    Args:
        output: computed with gradients.
        leaf: a tensor that requires them and was computed from no other.

    Yields:
        Its name, as ``"Relu"`` of ``ReluBackward0``, and the number of inputs.
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
        n_inputs = sum(it in leads for it, _ in node.next_functions)
        if n_inputs:
            yield re.sub(r"Backward\d*$", "", type(node).__name__), n_inputs
