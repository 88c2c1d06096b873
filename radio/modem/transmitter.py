"""The transmitting half of the modem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, DataBurst
from radio.modem.block_coding import encode_blocks
from radio.modem.layout import BurstLayout, burst_layout, check_burst_length
from radio.modem.ofdm import modulate_grid
from radio.modem.sequences import pilot_values, training_grid
from radio.modem.shaping import transmit_gain
from radio.numerology import Numerology


def modulate(burst: Burst, blocks: Sequence[bytes], numerology: Numerology) -> NDArray[np.complex64]:
    """Samples of ``burst`` at its branch rate, centred on its grant, RMS ``10**(tx_gain_db / 20)``.

    ``blocks``: the content of ``burst.block_ids``, each of its codec's size; none for a sounding. The
    carrier correction is not applied here: the transmit flowgraph shifts at the full rate.
    Raises RadioError if the blocks are not the granted ones or the burst is too long,
    ConfigurationError on an unknown MCS or RBs outside the band.
    """
    check_burst_length(burst, numerology)
    layout = burst_layout(burst, numerology)
    grid = training_grid(burst.burst_id, layout)
    if isinstance(burst, DataBurst):
        grid = np.concatenate([grid, _data_grid(burst, blocks, layout)])
    return modulate_grid(grid / transmit_gain(layout), layout) * np.float32(10.0 ** (burst.tx_gain_db / 20.0))


def _data_grid(burst: DataBurst, blocks: Sequence[bytes], layout: BurstLayout) -> NDArray[np.complex64]:
    is_pilot = layout.pilot_mask()
    n_pilots = int(np.count_nonzero(is_pilot))
    grid = np.empty(is_pilot.shape, np.complex64)
    grid[is_pilot] = pilot_values(burst.burst_id, n_pilots)
    grid[~is_pilot] = encode_blocks(burst, blocks, grid.size - n_pilots)
    return grid
