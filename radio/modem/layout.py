"""What a burst consists of: training symbols, data symbols, pilots, and how many samples that makes.

Both ends derive the layout from the grant alone. Pilots, counted in loaded subcarriers: resource element
``(symbol m, loaded index i)`` of the data part is one where ``(i + step m) mod period = 0``, so that they take
``1 / period`` of the elements and visit every subcarrier. A wide grant has enough of them sparse. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import Burst, DataBurst, SoundingBurst
from protocol.errors import RadioError
from radio.modem.mcs import Mcs, McsTable
from radio.numerology import Numerology

MAX_BURST_SAMPLES = 2**18 - 4096
"""Longest burst, full-rate samples; the rest of 2^18 is for filter tails, zeros and slow clocks."""
MAX_CFO_ACQUISITION_HZ = 120e3
MAX_CFO_SOUNDING_HZ = 10e3
MAX_CFO_DATA_HZ = 2e3
SOUNDING_SYMBOLS = 12
DATA_TRAINING_SYMBOLS = 2
DETECTION_RB_SYMBOLS = 16
"""RBs times symbols a receiver correlates over: enough at ``DETECTION_SNR`` in any grant."""
DETECTION_SNR = 0.63
"""Linear; schemes for less have more training and pilots."""
CODE_GAP = 1.26
"""A scheme is not used below the SNR at which the capacity is its rate, and 1 dB."""


class PilotPattern(NamedTuple):
    """See above; ``step`` has no factor in common with ``period``."""

    period: int
    step: int


PILOT_PATTERNS = {1: PilotPattern(16, 5), 8: PilotPattern(32, 13), 16: PilotPattern(64, 27)}
"""From so many RBs on: about two pilots in each symbol and more, but in the narrowest grants."""


@dataclass(frozen=True)
class BurstLayout:
    """The resource elements of one burst at its branch rate."""

    subcarriers: NDArray[np.int64]
    """Loaded branch subcarriers, ascending."""
    rb_of_subcarrier: NDArray[np.int64]
    """RB (counted from the grant's first) of each loaded subcarrier."""
    training_symbols: int
    detection_symbols: int
    """The first this many training symbols are what the receiver searches for."""
    data_symbols: int
    pilots: PilotPattern
    decimation: int
    fft_size: int
    """At the branch rate, as is ``cp``."""
    cp: int
    sample_rate_hz: float
    """Of the branch."""
    half_band: int
    """Subcarriers from the grant's centre to its edge, unloaded ones included."""
    wideband: bool
    """The branch is the whole band: the carrier may be far off."""

    @property
    def symbol_samples(self) -> int:
        """Branch samples per OFDM symbol."""
        return self.fft_size + self.cp

    @property
    def symbols(self) -> int:
        """Training and data symbols together."""
        return self.training_symbols + self.data_symbols

    @property
    def samples(self) -> int:
        """Branch samples from the first preamble sample to the last data sample."""
        return self.symbols * self.symbol_samples

    @property
    def rb_count(self) -> int:
        """RBs of the grant."""
        return int(self.rb_of_subcarrier[-1]) + 1

    def pilot_mask(self) -> NDArray[np.bool_]:
        """True where the data part holds a pilot, shape (data_symbols, loaded subcarriers)."""
        symbol = np.arange(self.pilots.period)[:, None]
        index = np.arange(len(self.subcarriers))[None, :]
        one_period = (index + self.pilots.step * symbol) % self.pilots.period == 0
        mask: NDArray[np.bool_] = one_period[np.arange(self.data_symbols) % self.pilots.period]
        return mask


def burst_decimation(burst: Burst, numerology: Numerology) -> int:
    """Decimation of the burst's branch. Acquisition keeps the full rate: its carrier may be far off."""
    return _decimation(numerology, burst.rb_count, is_acquisition(burst))


def _decimation(numerology: Numerology, rb_count: int, wideband: bool) -> int:
    return 1 if wideband else numerology.decimation(rb_count)


def is_acquisition(burst: Burst) -> bool:
    """Whether the burst's carrier may be anywhere within the reach of first contact."""
    return isinstance(burst, SoundingBurst) and burst.acquisition


def max_cfo_hz(burst: Burst) -> float:
    """Largest carrier offset at which ``burst`` is looked for, Hz."""
    if isinstance(burst, DataBurst):
        return MAX_CFO_DATA_HZ
    return MAX_CFO_ACQUISITION_HZ if burst.acquisition else MAX_CFO_SOUNDING_HZ


def half_band(burst: Burst, numerology: Numerology) -> int:
    """Subcarriers from the grant's centre to its edge."""
    return _half_band(numerology, burst.rb_count)


def _half_band(numerology: Numerology, rb_count: int) -> int:
    return numerology.rb_subcarriers * rb_count // 2


def burst_layout(burst: Burst, numerology: Numerology) -> BurstLayout:
    """Layout of ``burst``. Raises ConfigurationError on an unknown MCS or RBs outside the band."""
    content = (burst.mcs, len(burst.block_ids)) if isinstance(burst, DataBurst) else None
    return _layout(numerology, burst.rb_start, burst.rb_count, content, is_acquisition(burst))


@lru_cache(maxsize=1024)
def _layout(
    numerology: Numerology, rb_start: int, rb_count: int, content: tuple[str, int] | None, wideband: bool
) -> BurstLayout:
    """``content``: MCS and number of blocks of a data burst. Layouts are shared: their arrays cannot be written."""
    loaded, rb_of = _loaded(numerology, rb_start, rb_count)
    decimation = _decimation(numerology, rb_count, wideband)
    mcs, data_symbols = None, 0
    if content is not None:
        mcs = McsTable.load()[content[0]]
        data_symbols = _data_symbols(len(loaded), rb_count, content[1], mcs)
    return BurstLayout(
        subcarriers=loaded,
        rb_of_subcarrier=rb_of,
        training_symbols=_training_symbols(rb_count, mcs),
        detection_symbols=_detection_symbols(rb_count, mcs),
        data_symbols=data_symbols,
        pilots=_pilot_pattern(rb_count, mcs),
        decimation=decimation,
        fft_size=numerology.fft_size // decimation,
        cp=numerology.cp // decimation,
        sample_rate_hz=numerology.sample_rate_hz / decimation,
        half_band=_half_band(numerology, rb_count),
        wideband=wideband,
    )


def burst_air_samples(burst: Burst, numerology: Numerology) -> int:
    """Full-rate samples from the first preamble sample to the last data sample."""
    layout = burst_layout(burst, numerology)
    return layout.symbols * numerology.symbol_samples


def branch_samples(burst: Burst, numerology: Numerology) -> int:
    """Samples of the burst at its branch rate (what ``modulate`` returns)."""
    return burst_layout(burst, numerology).samples


def burst_coded_bits(burst: Burst, numerology: Numerology) -> int:
    """Bits on the air: data resource elements times bits per symbol; 0 for a sounding.

    The elements that fill the last OFDM symbol beyond the code blocks are modulated and so they count.
    """
    if isinstance(burst, SoundingBurst):
        return 0
    return _coded_bits(numerology, burst.rb_start, burst.rb_count, burst.mcs, len(burst.block_ids))


@lru_cache(maxsize=1024)
def _coded_bits(numerology: Numerology, rb_start: int, rb_count: int, mcs: str, n_blocks: int) -> int:
    scheme = McsTable.load()[mcs]
    loaded, _ = _loaded(numerology, rb_start, rb_count)
    symbols = _data_symbols(len(loaded), rb_count, n_blocks, scheme)
    return _data_elements(len(loaded), rb_count, symbols, scheme) * scheme.bits_per_symbol


def max_blocks(
    rb_start: int, rb_count: int, mcs: str, numerology: Numerology, limit_samples: int = MAX_BURST_SAMPLES
) -> int:
    """How many code blocks fit a burst of at most ``limit_samples`` full-rate samples (0: not even one)."""
    loaded, _ = _loaded(numerology, rb_start, rb_count)
    scheme = McsTable.load()[mcs]
    symbols = limit_samples // numerology.symbol_samples - _training_symbols(rb_count, scheme)
    if symbols <= 0:
        return 0
    return _data_elements(len(loaded), rb_count, symbols, scheme) * scheme.bits_per_symbol // scheme.block_coded_bits


def burst_symbols(rb_start: int, rb_count: int, mcs: str, n_blocks: int, numerology: Numerology) -> int:
    """OFDM symbols, training included, of a data burst of ``n_blocks`` blocks."""
    loaded, _ = _loaded(numerology, rb_start, rb_count)
    scheme = McsTable.load()[mcs]
    return _training_symbols(rb_count, scheme) + _data_symbols(len(loaded), rb_count, n_blocks, scheme)


def check_burst_length(burst: Burst, numerology: Numerology) -> None:
    """Raise RadioError if ``burst`` is longer than any window may carry."""
    samples = burst_air_samples(burst, numerology)
    if samples > MAX_BURST_SAMPLES:
        raise RadioError(
            f"burst {burst.burst_id} of {burst.client} takes {samples} samples, more than {MAX_BURST_SAMPLES}; "
            "grant it in several bursts"
        )


def check_blocks(burst: DataBurst, blocks: Sequence[bytes]) -> None:
    """Raise RadioError if the number or the length of ``blocks`` is not the grant's."""
    size = McsTable.load()[burst.mcs].block_bytes
    if len(blocks) != len(burst.block_ids) or any(len(block) != size for block in blocks):
        raise RadioError(
            f"burst {burst.burst_id} of {burst.client}: {len(burst.block_ids)} blocks of {size} bytes "
            f"were granted, {len(blocks)} blocks given"
        )


@lru_cache(maxsize=1024)
def _loaded(numerology: Numerology, rb_start: int, rb_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    loaded = numerology.loaded_subcarriers(rb_start, rb_count)
    rb_of = (loaded + numerology.rb_subcarriers * rb_count // 2) // numerology.rb_subcarriers
    loaded.flags.writeable = rb_of.flags.writeable = False  # shared by every caller
    return loaded, rb_of


def _least_snr(mcs: Mcs | None) -> float:
    """Linear SNR down to which a burst (without ``mcs``: a sounding) has to be found and followed."""
    if mcs is None:
        return DETECTION_SNR
    return min(DETECTION_SNR, CODE_GAP * math.expm1(math.log(2.0) * mcs.bits_per_symbol * mcs.code_rate))


def _detection_symbols(rb_count: int, mcs: Mcs | None) -> int:
    """Symbols to correlate over. The burst itself is noise to the search: what counts is its share of all power."""
    snr = _least_snr(mcs)
    share = snr / (1.0 + snr) / (DETECTION_SNR / (1.0 + DETECTION_SNR))
    return max(2, math.ceil(DETECTION_RB_SYMBOLS / (share * rb_count)))


def _training_symbols(rb_count: int, mcs: Mcs | None) -> int:
    """``mcs`` of a data burst, None for a sounding."""
    return max(SOUNDING_SYMBOLS if mcs is None else DATA_TRAINING_SYMBOLS, _detection_symbols(rb_count, mcs))


def _block_elements(n_blocks: int, mcs: Mcs) -> int:
    return -(-n_blocks * mcs.block_coded_bits // mcs.bits_per_symbol)


def _pilot_pattern(rb_count: int, mcs: Mcs | None) -> PilotPattern:
    """The dense one where a scheme is for less SNR."""
    weak = _least_snr(mcs) < DETECTION_SNR
    return PILOT_PATTERNS[max(fewest for fewest in PILOT_PATTERNS if fewest <= (1 if weak else rb_count))]


@lru_cache(maxsize=1024)
def _elements_until(n_loaded: int, pilots: PilotPattern) -> NDArray[np.int64]:
    """Data resource elements of the first 0, 1, ... ``period`` data symbols."""
    symbol = np.arange(pilots.period)[:, None]
    is_data = (np.arange(n_loaded) + pilots.step * symbol) % pilots.period != 0
    return np.concatenate([[0], np.cumsum(np.count_nonzero(is_data, axis=1))])


def _data_elements(n_loaded: int, rb_count: int, symbols: int, mcs: Mcs) -> int:
    """Data resource elements of ``symbols`` data symbols: all elements less the pilots."""
    until = _elements_until(n_loaded, _pilot_pattern(rb_count, mcs))
    periods, rest = divmod(symbols, len(until) - 1)
    return int(periods * until[-1] + until[rest])


def _data_symbols(n_loaded: int, rb_count: int, n_blocks: int, mcs: Mcs) -> int:
    """Fewest data symbols that hold ``n_blocks``."""
    until = _elements_until(n_loaded, _pilot_pattern(rb_count, mcs))
    periods, rest = divmod(_block_elements(n_blocks, mcs), int(until[-1]))
    return periods * (len(until) - 1) + int(np.searchsorted(until, rest))
