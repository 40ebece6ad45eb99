"""Names with options, ``permutation(unit=modality)``, and names that say where an object lies."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from difflib import get_close_matches
from keyword import iskeyword


def split_options(what: str, name: str, *, own: str) -> tuple[str, dict[str, object]]:
    """Return a name without its options, and the options.

    Args:
        what: what the name stands for, e.g. ``"method"``.
        name: ``name``, or ``name(option=value, …)``; the values are Python literals, and bare words, which
            are strings.
        own: how something of a user's own is written, e.g. ``"module:function"``.

    Raises:
        ValueError: if it is written otherwise.

    Example:
        >>> split_options("method", "permutation(unit=modality, n_repeats=3)", own="module:function")
        ('permutation', {'unit': 'modality', 'n_repeats': 3})
    """
    match = re.fullmatch(r"\s*([^()\s]+)\s*(?:\((.*)\))?\s*", name)
    if match is None:
        raise ValueError(f"The {what} {name!r} must be written as name, name(option=value, …) or {own}.")
    return match.group(1), _parse(what, name, match.group(2) or "")


def with_options(name: str, options: Mapping[str, object]) -> str:
    """Return a name with options, in the one way in which it is written everywhere.

    Example:
        >>> with_options("permutation", {"unit": "modality", "n_repeats": 3})
        'permutation(n_repeats=3, unit=modality)'
    """
    if not options:
        return name
    return f"{name}({', '.join(f'{key}={_shown(value)}' for key, value in sorted(options.items()))})"


def that_differ(
    options: Mapping[str, object], function: Callable[..., object], given: Mapping[str, object]
) -> dict[str, object]:
    """Return the options that change anything: those with another value than the function has without them.

    Args:
        options: name → value.
        function: what takes them.
        given: options that it gets without being told; they count instead of its defaults.

    Example:
        >>> that_differ({"ndigits": None}, round, {})
        {}
        >>> that_differ({"ndigits": 2}, round, {"ndigits": 2})
        {}
        >>> that_differ({"ndigits": 0}, round, {"ndigits": False})  # 0 == False, and yet they differ
        {'ndigits': 0}
    """
    defaults = {it.name: it.default for it in inspect.signature(function).parameters.values()} | {**given}
    return {
        name: value
        for name, value in options.items()
        if name not in defaults or repr(value) != repr(defaults[name])
    }


def load_object(what: str, path: str) -> object:
    """Return the object that ``package.module:object`` leads to.

    Args:
        what: what it is to be, e.g. ``"method"``.
        path: where it lies.

    Raises:
        ValueError: if the module cannot be imported, or has no such object.
    """
    module_name, _, attribute = path.partition(":")
    if module_name.endswith(".py"):
        raise ValueError(
            f"The {what} {path!r} must be named by a module. Got a file; write "
            f"'{module_name.removesuffix('.py').replace('/', '.')}:{attribute}'."
        )
    try:
        # What it prints on the way is no part of what a command prints, which programs may read.
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise ValueError(
            f"The module {module_name!r} of {what} {path!r} cannot be imported "
            f"({type(error).__name__}: {error}). Run from the folder that holds it, or install its package."
        ) from error
    if not hasattr(module, attribute):
        near = get_close_matches(attribute, [name for name in vars(module) if not name.startswith("_")], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"The module {module_name!r} has no {attribute!r} (from {what} {path!r}).{hint}")
    return getattr(module, attribute)


def _parse(what: str, name: str, text: str) -> dict[str, object]:
    """Return the options of ``name=value, …``: Python literals, and bare words as strings."""
    try:
        call = ast.parse(f"options({text})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the last two: nested too deep
        raise _misspelt(what, name, text) from None
    # "f(a=1)(b=2)" is a call too, of what f(a=1) returns.
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise _misspelt(what, name, text)
    if call.args:
        raise _misspelt(what, name, ast.unparse(call.args[0]))
    options: dict[str, object] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise _misspelt(what, name, f"**{ast.unparse(keyword.value)}")
        if keyword.arg in options:
            raise ValueError(
                f"The option {keyword.arg!r} of {what} {name!r} must be given once. Got it twice."
            )
        if isinstance(keyword.value, ast.Name):
            options[keyword.arg] = keyword.value.id  # a bare word, such as unit=modality
            continue
        try:
            options[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise ValueError(
                f"The option {keyword.arg!r} of {what} {name!r} must be a number, a word, a text in quotes, "
                f"or a tuple, list or dict of them. Got {ast.unparse(keyword.value)!r}; put a text in quotes."
            ) from None
    return options


def _misspelt(what: str, name: str, part: str) -> ValueError:
    return ValueError(f"The options of {what} {name!r} must be written as option=value. Got {part!r}.")


def _shown(value: object) -> str:
    """Return an option's value as it is read again: a plain word bare, anything else as a literal."""
    is_word = isinstance(value, str) and value.isidentifier() and not iskeyword(value)
    return str(value) if is_word else repr(value)
