"""Named steps of a round, and the one place where a test can pull the plug at a step.

``reached("base-station", "aggregated", 3)`` does nothing, unless the environment variable
``AIRTUNE_KILL_AT`` is ``base-station:aggregated:3``: then the process and its group end by SIGKILL, as in a
power cut. The crash tests use it to stop a run at every step of both sides.
"""

from __future__ import annotations

import os
import signal

KILL_VARIABLE = "AIRTUNE_KILL_AT"

BASE_STATION_STEPS = (
    "planned", "ready", "silent", "sounded", "allocated", "granted", "received",
    "aggregated", "evaluated", "checkpointed", "committed",
)  # fmt: skip
"""Steps of the base station's round, in order."""

CLIENT_STEPS = ("planned", "trained", "remembered", "sounded", "encoded", "sent")
"""Steps of an edge client's round, in order."""


def reached(actor: str, step: str, round_index: int) -> None:
    """Mark that ``actor`` (``base-station`` or a client's name) finished ``step``."""
    if os.environ.get(KILL_VARIABLE) == f"{actor}:{step}:{round_index}":
        os.killpg(os.getpgrp(), signal.SIGKILL)
