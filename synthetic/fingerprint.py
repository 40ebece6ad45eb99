"""A hash of the project's own code: what was computed under other code is not taken for the present one's."""

from __future__ import annotations

import ast
import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


@cache
def source_fingerprint(*places: str, without: tuple[str, ...] = ()) -> str:
    """Return a hash of the code below the places, relative to the project's root.

    Files whose names begin like one of `without` are left out.

    Comments and layout do not count; the versions of Python and of the packages that compute do.
    """
    versions = " ".join([platform.python_version(), *map(version, _PACKAGES)])
    digest = hashlib.sha256(versions.encode())
    for place in places:
        path = _ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(_ROOT).as_posix()
            if not name.startswith(without):
                code = ast.dump(ast.parse(file.read_bytes()))
                digest.update(f"{name}\0{code}\0".encode())
    return digest.hexdigest()[:16]
