"""What the base station believes of a client's word, and why not (ours).

A client with a valid key may still be broken or hostile. Each function returns the reason to leave it out of the
round, empty if there is none.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from protocol.curves import curve_fault
from protocol.messages import Encoded, Ready
from protocol.update.fragments import FRAGMENT_HEADER_BYTES, fragment_count
from radio.fragments import blocks_per_fragment

MAX_ENERGY = 1e9
"""An update of more energy than this is absurd for any adapter."""
MAX_ENERGY_RATIO = 1e6
"""So is one this many times the median of the round's clients."""
_SAME_TIME = 1e-6


def fault_of_ready(ready: Ready, samples: int, compute_s: float) -> str:
    """Check a Ready against the client's share of the split and its device profile."""
    if ready.samples != samples:
        return f"it claims {ready.samples} samples, the split gave it {samples}"
    if abs(ready.compute_s - compute_s) > _SAME_TIME * compute_s:
        return f"it claims {ready.compute_s:.3f} s of training, its device profile says {compute_s:.3f} s"
    fault = curve_fault(ready.curve)
    if fault:
        return f"its error curve is not one: {fault}"
    largest = max(
        ready.curve[0][1], ready.lora_energy, ready.head_energy, ready.exact_energy, ready.residual_energy,
        ready.residual_lost_energy,
    )  # fmt: skip
    return f"its update energy {largest:.3g} is absurd" if largest > MAX_ENERGY else ""


def absurd_energies(ready: Mapping[str, Ready]) -> dict[str, str]:
    """Clients whose energy is out of all proportion to the others'; needs three to judge."""
    if len(ready) < 3:
        return {}
    limit = MAX_ENERGY_RATIO * statistics.median(r.curve[0][1] for r in ready.values())
    return {
        name: f"its update energy {r.curve[0][1]:.3g} is absurd beside the other clients'"
        for name, r in ready.items()
        if r.curve[0][1] > limit > 0.0
    }


def fault_of_encoded(encoded: Encoded, budget_bits: int, fragment_bytes: int, block_bytes: int) -> str:
    """Check that an encoded update is what its size and the grant allow."""
    if not 0 < encoded.payload_bits <= budget_bits:
        return f"it encoded {encoded.payload_bits} bits, granted {budget_bits}"
    expected = fragments_and_blocks(encoded.payload_bits // 8, fragment_bytes, block_bytes)
    if (encoded.fragments, encoded.blocks) != expected:
        return f"it announces {encoded.fragments} fragments in {encoded.blocks} blocks; its size makes {expected}"
    if encoded.components_sent > encoded.components_total or encoded.lora_values_sent > encoded.lora_values_total:
        return "it says it sent more than there is"
    return ""


def fragments_and_blocks(payload_bytes: int, fragment_bytes: int, block_bytes: int) -> tuple[int, int]:
    """Fragments of an update file of ``payload_bytes``, and the code blocks they take on the air."""
    count = fragment_count(payload_bytes, fragment_bytes)
    last = payload_bytes - (count - 1) * (fragment_bytes - FRAGMENT_HEADER_BYTES) + FRAGMENT_HEADER_BYTES
    whole = blocks_per_fragment(fragment_bytes, block_bytes)
    return count, (count - 1) * whole + blocks_per_fragment(last, block_bytes)
