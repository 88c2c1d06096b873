"""What a run was made with: versions, machine, commit; for ``manifest.json``."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_DISTRIBUTIONS = (
    "airtune", "numpy", "scipy", "torch", "transformers", "peft", "safetensors", "pyzmq", "msgspec", "matplotlib",
    "pyarrow",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """Versions (read without importing anything), the machine, and the commit if the code is a git checkout."""
    return {"versions": _versions(), "machine": _machine(), "commit": _commit()}


def _versions() -> dict[str, str]:
    # The first one found is the one that is imported: a virtual environment lies over the system's packages.
    found = {name: next(iter(metadata.distributions(name=name)), None) for name in _DISTRIBUTIONS}
    present = {name: distribution.version for name, distribution in found.items() if distribution is not None}
    return {"python": platform.python_version(), **present}


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """Commit of the source tree, ``-changed`` appended if it has uncommitted changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=-changed"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
