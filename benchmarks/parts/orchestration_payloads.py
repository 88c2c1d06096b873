"""What the orchestration benchmark carries: adapters of given sizes, as arrays. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP = np.float32(2.0**-12)
"""What a client adds to every value it got: its "training"."""
MOST_PROCESSES = 10
"""More clients than this share so many processes, the same for every system that can."""


@dataclass(frozen=True)
class Payload:
    """An adapter of ``modules`` pairs of factors, (rank, width) and (width, rank), float32."""

    modules: int
    width: int
    rank: int

    @property
    def payload_bytes(self) -> int:
        """Size of all values, bytes: what goes down to each client, and up from it."""
        return self.modules * 2 * self.rank * self.width * 4

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The adapter all rounds start from, by tensor name."""
        rng = np.random.default_rng(1)
        values: dict[str, NDArray[np.float32]] = {}
        for module in range(self.modules):
            values[f"m{module:03d}.lora_A.weight"] = rng.normal(size=(self.rank, self.width)).astype(np.float32)
            values[f"m{module:03d}.lora_B.weight"] = rng.normal(size=(self.width, self.rank)).astype(np.float32)
        return values


PAYLOADS = {
    "16KB": Payload(modules=2, width=128, rank=8),
    "0.3MB": Payload(modules=12, width=384, rank=8),
    "1MB": Payload(modules=16, width=1024, rank=8),
    "4MB": Payload(modules=32, width=2048, rank=8),
    "33MB": Payload(modules=64, width=4096, rank=16),
}
"""0.3MB is MiniLM's adapter, 33MB that of a model of 7 billion weights (rank 16, two modules in each of 32 layers)."""


def client_names(clients: int) -> list[str]:
    """Names of the clients."""
    return [f"c{i}" for i in range(clients)]


def process_groups(names: Sequence[str]) -> list[list[str]]:
    """Which clients share a process: each has its own up to ``MOST_PROCESSES`` of them."""
    processes = min(len(names), MOST_PROCESSES)
    return [list(names[i::processes]) for i in range(processes)]
