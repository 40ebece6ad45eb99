"""Calls as bytes, for workers that are other processes: functions of the caller's own go by value."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import cloudpickle

_PRESENT = ("synthetic", "methods", "benchmark", "__main__", "__mp_main__")


def packed(call: object, *, by_value: Callable[[ModuleType], bool]) -> bytes:
    """Return a call as bytes.

    What was defined in a notebook, in a script or on the spot goes by value in any case.

    Args:
        call: a function and its arguments.
        by_value: which of the caller's own modules workers cannot import.
    """
    # Each once: a module may be loaded under several names.
    own = {id(module): module for module in list(sys.modules.values()) if _is_own(module)}.values()
    known = cloudpickle.list_registry_pickle_by_value()
    registered = [it for it in own if it.__name__ not in known and by_value(it)]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(call)
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def lies_here(module: ModuleType) -> bool:
    """Return whether a module lies in the current folder, which another machine need not have."""
    file = getattr(module, "__file__", None)
    return file is None or _lies_in(file, Path.cwd())


def has_no_name(module: ModuleType) -> bool:
    """Return whether a module's name does not lead to it, in a fresh process with the same path."""
    file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    if file is None:
        return True
    # Asked of the path alone: of what is loaded, importlib says where it came from.
    spec = PathFinder.find_spec(top)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    return not any(it and Path(file).resolve().is_relative_to(Path(it).resolve()) for it in places)


def _is_own(module: object) -> bool:
    """Return whether a module is the caller's own, and no installed package."""
    if not isinstance(module, ModuleType):
        return False
    file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    if top in sys.stdlib_module_names or top in _PRESENT:
        return False
    if file is None:  # made on the spot; packages without a file, and built-in modules, have a spec
        return module.__spec__ is None
    return file.startswith(os.sep) and not _is_installed(file)


@functools.cache
def _is_installed(file: str) -> bool:
    return "site-packages" in Path(file).resolve().parts


@functools.cache
def _lies_in(file: str, folder: Path) -> bool:
    return folder.resolve() in Path(file).resolve().parents
