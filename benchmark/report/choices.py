"""Choices that a method's publication leaves open, named beside its numbers."""

from __future__ import annotations

from collections.abc import Iterable

import methods


def choices_note(names: Iterable[str]) -> str:
    """Return the sentence on the options of methods that a board must name; empty where there are none.

    Args:
        names: of methods and controls, with their options. What is not installed, or was not when this
            version was made, is passed over.

    Example:
        >>> choices_note(["gradient", "modality_contribution(pooling=patient)"])
        'Chosen where publications differ: modality_contribution: replacement=mean, pooling=patient.'
    """
    known, lines = methods.names(), []
    for name in names:
        base = name.partition("(")[0]
        try:
            chosen = methods.get(name).choices if base in known else {}
        except ValueError:  # an option of another version
            continue
        if chosen:
            lines.append(f"{base}: {', '.join(f'{option}={value}' for option, value in chosen.items())}")
    return f"Chosen where publications differ: {'; '.join(dict.fromkeys(lines))}." if lines else ""
