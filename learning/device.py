"""Device profiles: how long local training takes on a device, in model time.

A profile is measured on the machine it names or assumed, and says which; reports print it. The
time of a step is taken as proportional to the tokens in it (ours; measured within a few per cent for
batches of 8 to 32 texts of up to 128 tokens).
"""

from __future__ import annotations

import datetime
import importlib.resources
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from protocol.configuration import TrainingTable
from protocol.errors import DataError

if TYPE_CHECKING:  # profiles are read by commands that must start without torch
    from learning.model import AdaptedModel
    from learning.tasks import Inputs

if sys.version_info >= (3, 11):
    import tomllib
else:  # JetPack 6
    import tomli as tomllib

WARM_UP_STEPS = 2
"""Steps not timed: the first ones of a process are slow."""
TIMED_STEPS = 5


class DeviceProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training speed of one kind of device."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    source: Literal["measured", "assumed"]
    machine: Annotated[str, Meta(min_length=1, max_length=200)]
    """What it was measured on, or stands for."""
    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """Day of the measurement or of the assumption."""
    seconds_per_step: Annotated[float, Meta(gt=0.0, le=1e4)]
    """One training step of ``batch_size`` samples of ``max_tokens`` tokens (``ModelTable.sample_tokens``)."""
    batch_size: Annotated[int, Meta(ge=1)]
    max_tokens: Annotated[int, Meta(ge=1)]
    threads: Annotated[int, Meta(ge=1)] = 1
    note: Annotated[str, Meta(max_length=500)] = ""


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with airtune."""
    files = importlib.resources.files("learning").joinpath("devices").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_profile(name_or_path: str) -> DeviceProfile:
    """A shipped profile by name, or one of your own by the path of its TOML file.

    Raises DataError if there is no such profile or the file is not one.
    """
    if name_or_path in shipped_profiles():
        text = importlib.resources.files("learning").joinpath(f"devices/{name_or_path}.toml").read_text("utf-8")
        return _parse(text, name_or_path)
    try:
        return _parse(Path(name_or_path).read_text("utf-8"), name_or_path)
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(["measured-here", *shipped_profiles()])
        raise DataError(
            f"clients.device: no device profile '{name_or_path}'; known: {known}, or a TOML file"
        ) from error


def _parse(text: str, origin: str) -> DeviceProfile:
    try:
        return msgspec.convert(tomllib.loads(text), DeviceProfile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DataError(f"{origin}: not a device profile: {error}") from error


def compute_s(profile: DeviceProfile, local_steps: int, batch_size: int, max_tokens: int, scale: float = 1.0) -> float:
    """Model time of one local training on the profile's device, s; ``scale`` makes a client slower or faster."""
    work = (batch_size * max_tokens) / (profile.batch_size * profile.max_tokens)
    return scale * local_steps * work * profile.seconds_per_step


def measure_here(
    model: AdaptedModel, inputs: Inputs, labels: NDArray[np.int64], training: TrainingTable, max_tokens: int
) -> DeviceProfile:
    """Profile of this machine from a few training steps on ``inputs``, with the threads torch is set to.

    The steps are forward and backward passes over the longest samples; the update of the adapter, a hundredth
    of that work, is left out and the model stays as it was.
    """
    import torch

    batch = np.argsort(inputs.lengths)[-training.batch_size :]
    times_s = [_step_time_s(model, inputs, labels, batch) for _ in range(WARM_UP_STEPS + TIMED_STEPS)]
    model.network.zero_grad(set_to_none=True)
    return DeviceProfile(
        name="measured-here",
        source="measured",
        machine=", ".join([f"{platform.system()} on {platform.machine()}", f"{os.cpu_count()} cores", *model.gpu]),
        date=datetime.date.today().isoformat(),
        seconds_per_step=statistics.median(times_s[WARM_UP_STEPS:]),
        batch_size=training.batch_size,
        max_tokens=max_tokens,
        threads=torch.get_num_threads(),
    )


def _step_time_s(model: AdaptedModel, inputs: Inputs, labels: NDArray[np.int64], batch: NDArray[np.int64]) -> float:
    """Processor time per thread: the wall time on a quiet machine, whatever else runs while it is measured.

    With a GPU, which nothing else should be using, the wall time.
    """
    import torch

    clock, threads = (time.perf_counter, 1) if model.gpu else (time.process_time, torch.get_num_threads())
    started = clock()
    model.loss(inputs.batch(batch), torch.from_numpy(labels[batch])).backward()
    model.wait()
    return (clock() - started) / threads
