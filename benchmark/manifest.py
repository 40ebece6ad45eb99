"""What a run was made with: enough to make it again elsewhere, and nothing that changes when nothing did."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import torch

from benchmark.recall import code_fingerprint
from benchmark.request import Request
from benchmark.suite import Job
from synthetic import images as sources

_PACKAGES = (
    "plumbline",
    "torch",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "medmnist",
    "rbo",
    "safetensors",
)


def manifest(request: Request, command: str) -> dict[str, object]:
    """Return the manifest of a run: command, versions, commit, machine, threads, seeds and md5 of data.

    Times are in the run's log: the manifest of a run that found everything done is the one that was there.

    Args:
        request: what was done.
        command: what was typed.
    """
    jobs = request.jobs()
    stages = {job.stage for job in jobs}
    return {
        "command": command,
        "suite": request.suite.name,
        "images": request.images,
        "features": request.features,
        "n_results": len(jobs),
        "seeds": {
            name: sorted({getattr(stage, name) for stage in stages}) for name in ("data_seed", "train_seed")
        }
        | {"method_seed": sorted({job.method_seed for job in jobs})},
        "settings": _settings(jobs),
        "data_md5": {
            origin.scans.name: origin.md5
            for stage in stages
            for origin in sources.origins(
                stage.images, size=stage.image_size, kind=stage.features, data_root=request.data_root
            )
        },
        "code": code_fingerprint(),
        "commit": commit(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "processors": os.cpu_count(),
            "memory_gb": _memory_gb(),
        },
        "threads_per_worker": 1,
    }


def _settings(jobs: Sequence[Job]) -> list[dict[str, object]]:
    """Return what each scenario was made of: what must be the same for runs to be compared."""
    names = ("scenario", "images", "features", "model", "image_size", "n_patients", "definition")
    found = {(*(getattr(job.stage, name) for name in names), job.n_explained): None for job in jobs}
    return [dict(zip((*names, "n_explained"), facts, strict=True)) for facts in found]


def commit() -> str | None:
    """Return the git commit of the project's source, with ``+changes`` if files differ; None if unknown."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None  # installed, or copied: a repository around it would be somebody else's
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed words
        ["git", "-C", str(root), *words],  # noqa: S607 - wherever git is
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except ModuleNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
