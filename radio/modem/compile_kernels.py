"""Compile the modem's inner loops before they are needed: ``python -m radio.modem.compile_kernels``.

Sends one burst of every kind and codec to itself, so that what is compiled is what receivers call. Takes no time
where the code is there already.
"""

from __future__ import annotations

import numpy as np

from protocol.bursts import Burst, DataBurst, SoundingBurst
from radio.modem import McsTable, modulate, receive
from radio.numerology import DEFAULT_2MSPS

RB_COUNT = 7
SILENCE = 4096


def compile_kernels() -> None:
    """Call every compiled function with the arguments it gets in use. Raises MissingPartError without GNU Radio."""
    one_per_codec = {scheme.codec: scheme for scheme in McsTable.load().schemes}
    bursts: list[Burst] = [SoundingBurst("compile", 1, 0, DEFAULT_2MSPS.rb_total)]
    bursts += [DataBurst("compile", 2, 2, RB_COUNT, scheme.name, [0]) for scheme in one_per_codec.values()]
    for burst in bursts:
        blocks = [bytes(McsTable.load()[burst.mcs].block_bytes)] if isinstance(burst, DataBurst) else []
        silence = np.zeros(SILENCE, np.complex64)
        receive(burst, np.concatenate([silence, modulate(burst, blocks, DEFAULT_2MSPS), silence]), DEFAULT_2MSPS)


if __name__ == "__main__":
    compile_kernels()
