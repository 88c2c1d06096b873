"""Checks of the machine: clock, disk, memory, keys, and what a Jetson needs. By files under a root, so that tests can
bring their own.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from calibration.doctor.findings import Check, Seen, graded

EARLIEST_YEAR = 2025
"""A clock that shows less was never set: machines without a battery start years ago."""
LEAST_DISK_GB = (1.0, 5.0)
"""Less is a failure, or a warning: a run of a hundred rounds with IQ takes some GB."""
LEAST_MEMORY_GB = (1.0, 2.0)
"""For one client with a small model."""
JETPACK_6 = 36
"""Release of Jetson Linux that JetPack 6 begins with."""
_GPU_NODES = ("dev/nvgpu/igpu0/ctrl", "dev/nvgpu/igpu0", "dev/nvhost-gpu")
_UNSYNCHRONISED = 5
_TIMEX_BYTES = 256


@dataclass(frozen=True)
class Host:
    """The machine, as far as checks look at it."""

    root: Path = Path("/")
    runs: Path = Path("runs")
    keys: Path | None = None
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    synchronised: Callable[[], bool | None] = lambda: clock_is_synchronised()
    """None: the kernel does not tell."""

    def text(self, path: str) -> str:
        """A small file of the system; empty if it is not there."""
        try:
            return (self.root / path).read_bytes()[:65536].decode("utf-8", "replace").strip("\0\n ")
        except OSError:
            return ""


def clock_is_synchronised() -> bool | None:
    """Whether the kernel's clock follows a time server; None if it does not tell."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else bool(state != _UNSYNCHRONISED)


def look_at_clock(host: Host) -> Seen:
    """The date, and whether a time server keeps it."""
    now = host.now()
    text = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now.year < EARLIEST_YEAR:
        return Seen("fail", f"{text}: was never set", mend="sudo timedatectl set-ntp true")
    synchronised = host.synchronised()
    if synchronised is None:
        return Seen("skip", f"{text}; the kernel does not say whether a time server keeps it")
    return Seen("pass" if synchronised else "warn", f"{text}, {'' if synchronised else 'not '}synchronised")


def look_at_disk(host: Host) -> Seen:
    """Free space where runs go."""
    place = next(p for p in (host.runs.absolute(), *host.runs.absolute().parents) if p.is_dir())
    free_gb = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        return Seen("fail", f"{place} cannot be written", mend=f"sudo chown $USER {place}")
    fail_gb, warn_gb = LEAST_DISK_GB
    return Seen(graded(-free_gb, -warn_gb, -fail_gb), f"{free_gb:.1f} GB free at {place}", free_gb, "GB")


def look_at_memory(host: Host) -> Seen:
    """Memory that can be had."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", host.text("proc/meminfo"), re.MULTILINE)
    if match is None:
        return Seen("skip", "/proc/meminfo does not tell")
    free_gb = int(match[1]) * 1024 / 1e9
    fail_gb, warn_gb = LEAST_MEMORY_GB
    return Seen(graded(-free_gb, -warn_gb, -fail_gb), f"{free_gb:.1f} GB available", free_gb, "GB")


def look_at_keys(host: Host) -> Seen:
    """Modes of secret key files."""
    if host.keys is None:
        return Seen("skip", "no directory of keys was named (--keys, clients.keys_dir)")
    files = sorted(host.keys.glob("*.key"))
    if not files:
        return Seen("fail", f"no key file in {host.keys}", mend=f"airtune keys EXPERIMENT.toml --out {host.keys}")
    open_files = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_files:
        modes = ", ".join(f"{p.name} {stat.S_IMODE(p.stat().st_mode):o}" for p in open_files)
        return Seen("fail", f"others may read {modes}", mend=f"chmod 600 {' '.join(map(str, open_files))}")
    return Seen("pass", f"{len(files)} secret keys, for their owner alone")


def look_at_jetson(host: Host) -> Seen:
    """Release and GPU of a Jetson."""
    model = host.text("proc/device-tree/model")
    if "jetson" not in model.lower():
        return Seen("skip", "not a Jetson")
    release = re.search(r"R(\d+)", host.text("etc/nv_tegra_release"))
    if release is None:
        return Seen("fail", f"{model}: no release of Jetson Linux found", mend="sudo apt-get install nvidia-jetpack")
    text = f"{model}, Jetson Linux R{release[1]}"
    if int(release[1]) < JETPACK_6:
        return Seen("fail", f"{text}: older than JetPack 6, whose Python is too old", mend="flash JetPack 6")
    node = next((host.root / path for path in _GPU_NODES if (host.root / path).exists()), None)
    if node is None:
        return Seen("fail", f"{text}: no GPU device", mend="sudo apt-get install nvidia-jetpack")
    if not os.access(node, os.R_OK | os.W_OK):
        return Seen("fail", f"{text}: you may not use its GPU ({node})", mend="sudo usermod -aG video $USER")
    return Seen("pass", f"{text}, GPU at {node}")


def look_at_power_mode(host: Host) -> Seen:
    """Power mode of a Jetson."""
    if "jetson" not in host.text("proc/device-tree/model").lower():
        return Seen("skip", "not a Jetson")
    mode = re.search(r"pmode:0*(\d+)", host.text("var/lib/nvpmodel/status"))
    if mode is None:
        return Seen("skip", "nvpmodel does not tell")
    return Seen("pass" if mode[1] == "0" else "warn", f"nvpmodel {mode[1]}", float(mode[1]))


HOST_CHECKS: tuple[Check[Host], ...] = (
    Check(
        "clock", "recordings, campaigns and calibrations carry this machine's time",
        "sudo timedatectl set-ntp true", look_at_clock,
    ),
    Check("disk", "a full disk ends a run", "free some space, or name another --out", look_at_disk),
    Check("memory", "a client without memory is killed in mid-round", "end other programs", look_at_memory),
    Check("keys", "who reads a secret key can pass for its owner", "chmod 600 KEY", look_at_keys),
    Check("jetson", "training falls back to the processor without a GPU", "", look_at_jetson),
    Check(
        "power-mode", "training takes longer than the device profile says",
        "sudo nvpmodel -m 0", look_at_power_mode,
    ),
)  # fmt: skip
