"""The pytest plug-in: options that set the defaults of ``benchmark.testing.assert_accuracy``.

Loaded where it is named, by ``-p benchmark.pytest_plugin`` or by ``pytest_plugins`` in a ``conftest.py``, and
nowhere else: at the start of every pytest on a machine, the name of its package might be that of something
else. It imports nothing that is slow to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_chosen: dict[str, str | int | None] = {"suite": None, "seeds": None}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("plumbline", "accuracy of importance methods")
    group.addoption(
        "--plumbline-suite",
        metavar="NAME",
        default=None,
        help="suite of benchmark.testing.assert_accuracy where a test names none (default: smoke)",
    )
    group.addoption(
        "--plumbline-seeds",
        metavar="N",
        type=int,
        default=None,
        help="seeds of benchmark.testing.assert_accuracy where a test says none (default: the suite's)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Remember what was chosen."""
    _chosen.update(
        suite=config.getoption("plumbline_suite", None), seeds=config.getoption("plumbline_seeds", None)
    )


def pytest_unconfigure() -> None:
    """Forget it: another run in this process chooses anew."""
    _chosen.update(suite=None, seeds=None)


def chosen_suite() -> str | None:
    """Return the suite of the command line; None if it names none."""
    found = _chosen["suite"]
    return None if found is None else str(found)


def chosen_seeds() -> int | None:
    """Return the number of seeds of the command line; None if it says none."""
    found = _chosen["seeds"]
    return None if found is None else int(found)
