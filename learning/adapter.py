"""The trained part of the model as named arrays: what rounds exchange, aggregate and commit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Adapter = dict[str, NDArray[np.float32]]
"""Arrays by their peft name: ``...lora_A.weight`` (r, k), ``...lora_B.weight`` (d, r), all others belong
to the head: weights (out, in) and biases (out,)."""

FACTOR_A = ".lora_A.weight"
FACTOR_B = ".lora_B.weight"


def is_lora(name: str) -> bool:
    """Whether ``name`` is a LoRA factor (otherwise it is a head tensor)."""
    return name.endswith((FACTOR_A, FACTOR_B))
