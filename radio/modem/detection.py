"""Finding a burst: correlation with its training over every start and carrier offset.

The correlator's output, squared, is compared with its own level around that moment (block medians,
the greatest of three), so the threshold holds whatever noise, neighbours or the burst's own data do.
Under noise alone the ratio is exponential, which sets the threshold for a false-alarm rate per
window. Source: ours; constant-false-alarm detection is textbook.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radio.modem.layout import BurstLayout

FALSE_ALARM_RATE = 1e-5
"""Per window, by design; measured below 1e-4."""
LEVEL_BLOCK = 512
"""Branch samples over which the level of the correlator's output is taken."""
LOUD = 4.0
"""Frequencies above so many times the grant's median power are turned down to it: a narrow-band jammer."""


@dataclass(frozen=True)
class Detection:
    """Where a burst was found."""

    start: float
    """Its first sample in the stream, branch samples; whole until it is refined."""
    cfo_hz: float
    """Carrier offset, at first good to a quarter of one over the reference's duration."""

    def turned(self, phase_step: float, layout: BurstLayout) -> Detection:
        """The same with a carrier offset that is ``phase_step`` rad per symbol higher."""
        step_hz = phase_step * layout.sample_rate_hz / (2.0 * np.pi * layout.symbol_samples)
        return replace(self, cfo_hz=self.cfo_hz + step_hz)


def detect(
    samples: NDArray[np.complex64],
    reference: NDArray[np.complex64],
    layout: BurstLayout,
    max_cfo_hz: float,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> Detection | None:
    """Look for ``reference`` (the burst's first training symbols) in ``samples``.

    Starts are those for which the whole burst lies in the stream. None if no start stands out.
    """
    n_starts = len(samples) - layout.samples + 1
    if n_starts < 1:
        return None
    # Lags past the last start serve the level only; a stream that barely holds the burst has few others.
    n_lags = n_starts + 2 * LEVEL_BLOCK
    searched = samples[: n_lags + len(reference) - 1]
    size = fft.next_fast_len(max(n_lags + len(reference) - 1, 4 * len(reference)))
    spectrum = _without_jammer(fft.fft(searched, size), layout)
    matched = np.conj(fft.fft(reference, size))
    shifts = _frequency_bins(size, len(reference), layout.sample_rate_hz, max_cfo_hz)
    threshold = np.log(n_starts * len(shifts) / false_alarm_rate)
    best: Detection | None = None
    best_ratio = threshold
    for shift in shifts:
        output = fft.ifft(np.roll(spectrum, -shift) * matched)[:n_lags]
        start, ratio = _largest_over_level(output.real**2 + output.imag**2, n_starts)
        if ratio > best_ratio:
            best, best_ratio = Detection(start, float(shift) * layout.sample_rate_hz / size), ratio
    return best


def _without_jammer(spectrum: NDArray[np.complex64], layout: BurstLayout) -> NDArray[np.complex64]:
    """``spectrum`` with every subcarrier that is too loud for the burst turned down."""
    edges = np.rint(np.arange(layout.fft_size + 1) * (len(spectrum) / layout.fft_size)).astype(np.int64)
    counts = np.diff(edges)
    power = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, edges[:-1]) / counts
    loudest = LOUD * np.median(power[np.arange(-layout.half_band, layout.half_band)])
    gain = (loudest / np.maximum(power, loudest + np.finfo(np.float32).tiny)).astype(np.float32)
    tamed: NDArray[np.complex64] = spectrum * np.repeat(gain, counts)
    return tamed


def _frequency_bins(size: int, reference_samples: int, sample_rate_hz: float, max_cfo_hz: float) -> NDArray[np.int64]:
    """Offsets to try, in FFT bins, half of one over the reference's duration apart."""
    step = max(size // (2 * reference_samples), 1)
    reach = int(np.ceil(max_cfo_hz / sample_rate_hz * size / step))
    return step * np.arange(-reach, reach + 1)


def _largest_over_level(power: NDArray[np.float32], n_starts: int) -> tuple[int, float]:
    """Index among the first ``n_starts``, and ratio to the surrounding level, of the lag that stands out most."""
    n_blocks = len(power) // LEVEL_BLOCK
    whole = power[: n_blocks * LEVEL_BLOCK].reshape(n_blocks, LEVEL_BLOCK)
    # The median of an exponential distribution is ln 2 times its mean.
    level = np.pad(np.median(whole, axis=1) / np.log(2.0) + np.float32(1e-30), 1, mode="edge")
    greatest = np.maximum(np.maximum(level[:-2], level[2:]), level[1:-1])
    ratio = power[:n_starts] / np.repeat(greatest, LEVEL_BLOCK)[:n_starts]
    start = int(np.argmax(ratio))
    return start, float(ratio[start])
