"""The harness: models, training, scores, suites and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark import score
    from benchmark.session import evaluate

__all__ = ["evaluate", "score"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the pytest plug-in lies in this package and must not wait for torch."""
    if name == "evaluate":
        from benchmark.session import evaluate  # noqa: PLC0415

        return evaluate
    if name == "score":
        from importlib import import_module  # noqa: PLC0415

        return import_module("benchmark.score")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what is there, whether imported yet or not."""
    return sorted({*globals(), *__all__})
