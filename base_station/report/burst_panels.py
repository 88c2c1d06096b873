"""Single drawings of a received burst, each into axes of its own; the report and ``airtune link show`` share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from numpy.typing import NDArray

from base_station.report.drawing import integer_ticks
from base_station.report.received import ReceivedBurst
from protocol.bursts import SOFT_BIT_BINS, SOFT_BIT_REACH
from radio.numerology import Numerology

_SMALLEST_REACH = 1.5
_SMALLEST_SPAN_DB = 3.0
"""A flat curve is drawn flat."""
_MIDDLE_SHARE = 0.995
"""The axes of a constellation hold this share of its coordinates; at low SNR a few lie far out."""


def draw_constellation(axes: Any, burst: ReceivedBurst, colour: str, reach: float) -> None:
    """Received symbols, and crosses where they were sent."""
    ideal, points = burst.ideal_points, burst.points
    axes.scatter(points.real, points.imag, s=5, color=colour, alpha=0.6, linewidths=0, rasterized=True)
    size = 36.0 / np.sqrt(len(ideal))
    axes.scatter(ideal.real, ideal.imag, s=4 + size, marker="+", color=rcParams["text.color"], linewidths=0.7)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])


def constellation_reach(bursts: Sequence[ReceivedBurst]) -> float:
    """Half the width of axes that show (nearly) all symbols of ``bursts``."""
    largest = [float(np.quantile(np.abs(b.points.view(np.float32)), _MIDDLE_SHARE)) for b in bursts if len(b.points)]
    return max(_SMALLEST_REACH, *(1.05 * value for value in largest), 0.0)


def draw_soft_bits(axes: Any, counts: Sequence[int], colour: str) -> None:
    """Histogram of soft bits; the outermost bins hold everything beyond."""
    edges = np.linspace(-SOFT_BIT_REACH, SOFT_BIT_REACH, SOFT_BIT_BINS + 1)
    share = np.asarray(counts) / max(sum(counts), 1)
    axes.stairs(share, edges, color=colour, fill=True, alpha=0.75)
    axes.axvline(0.0, color=rcParams["axes.labelcolor"], linewidth=0.8)
    axes.set(xlim=(-SOFT_BIT_REACH, SOFT_BIT_REACH), xticks=[-30, -15, 0, 15, 30], ylim=(0, None))


def draw_spectrum(
    axes: Any, psd_db: NDArray[np.float64], numerology: Numerology, grants: Sequence[tuple[int, int, str, float]]
) -> None:
    """Power spectral density of a window; ``grants`` (first RB, RBs, colour, strength) are shaded."""
    for rb_start, rb_count, colour, strength in grants:
        axes.axvspan(*band_edges_khz(numerology, rb_start, rb_count), color=colour, alpha=strength, linewidth=0)
    axes.plot(bin_frequencies_khz(len(psd_db), numerology), psd_db, color=rcParams["text.color"], linewidth=1.1)
    axes.set(title="Power spectral density", xlabel="offset from the carrier, kHz", ylabel="dB per bin")


def draw_channel(axes: Any, burst: ReceivedBurst, numerology: Numerology, colour: str) -> None:
    """Magnitude of the channel estimate over the burst's subcarriers."""
    axes.plot(burst.frequencies_khz(numerology), burst.channel_db, color=colour, linewidth=1.4)
    axes.set(title="Channel gain per subcarrier", xlabel="offset from the carrier, kHz", ylabel="dB")
    _keep_span(axes, burst.channel_db)


def draw_sinr(axes: Any, rb_start: int, sinr_db: NDArray[np.float64], colour: str) -> None:
    """SINR of the RBs from ``rb_start`` on."""
    rbs = rb_start + np.arange(len(sinr_db) + 1)
    axes.stairs(sinr_db, rbs - 0.5, color=colour, linewidth=1.8, baseline=None)
    axes.set(title="SINR per resource block", xlabel="resource block", ylabel="dB")
    integer_ticks(axes.xaxis)
    _keep_span(axes, sinr_db)


def _keep_span(axes: Any, values_db: NDArray[np.float64]) -> None:
    if len(values_db) and np.ptp(values_db) < _SMALLEST_SPAN_DB:
        middle = 0.5 * (values_db.min() + values_db.max())
        axes.set_ylim(middle - 0.6 * _SMALLEST_SPAN_DB, middle + 0.6 * _SMALLEST_SPAN_DB)


def bin_frequencies_khz(bins: int, numerology: Numerology) -> NDArray[np.float64]:
    """Offsets of a spectrum's bins from the carrier."""
    return (np.arange(bins) - bins // 2) * numerology.sample_rate_hz / bins / 1e3


def band_edges_khz(numerology: Numerology, rb_start: int, rb_count: int) -> NDArray[np.float64]:
    """Lower and upper edge of a grant, half a subcarrier beyond the outermost ones, offset from the carrier."""
    return np.array(numerology.edges_hz(rb_start, rb_count)) / 1e3
