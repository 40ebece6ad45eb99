"""The door between what is known of a scenario and the method that is tested on it.

A method is handed a model and samples. In the process of its own that it runs in, a copy of the harness's,
what it must not see is emptied before it is called: no truth, no latent feature and no earlier result is left
there to be found, not by walking up the stack or through all objects either. In the harness's own process
(``apart=False``) nothing that is handed over leads there, and that is all that can be promised.

It keeps honest methods honest; it is no prison. The scenario's name is known there, its catalogue can be
imported, and files can be read. The oracle is the true decision function and holds it.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterable

from benchmark.maps import TrueMaps
from benchmark.store import Result
from synthetic.images import ImageDraw
from synthetic.pixels import PixelTruth
from synthetic.truth import Truths
from synthetic.types import Dataset, SubsetValues, Truth

_ANSWERS = frozenset({Dataset, ImageDraw, PixelTruth, Result, SubsetValues, TrueMaps, Truth, Truths})


def find_answers() -> list[weakref.ref[object]]:
    """Return every truth, dataset, draw and result of this process, whoever holds it; none is kept alive.

    Found before the process is forked: a child that looked at every object would copy the memory of all.
    """
    return [weakref.ref(thing) for thing in gc.get_objects() if type(thing) in _ANSWERS]


def forget(answers: Iterable[weakref.ref[object]]) -> None:
    """Empty answers, and the caches of the generator.

    Only for a process that ends with the method that it was forked for. The objects stay, since frames of the
    stack refer to them; their attributes go.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "synthetic":
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    for reference in answers:
        answer = reference()
        if answer is not None:
            vars(answer).clear()
