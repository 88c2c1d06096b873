"""What a receiver took since a window was armed, and where in it the expected bursts are.

Radios on a desk have no timed transmission: a burst is somewhere between "go" and "sent". It is looked for by its power
in its own resource blocks; the modem then finds it exactly in the stretch around that place. Source: ours; an energy
detector with a known length is textbook.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.bursts import Burst, Window
from radio.limits import SILENT_SAMPLES
from radio.modem.layout import burst_air_samples, max_cfo_hz
from radio.numerology import UNLOADED_SUBCARRIERS, Numerology

Samples = NDArray[np.complex64]

CLEAR = 7.0
"""A place stands out that exceeds the rest by so many standard deviations of noise."""
LEAST_CONTRAST = 0.5
"""And by this share of the rest's power: what others send beside it moves the median of its RBs by half as much."""
_TAPERED = 1.94
"""Variance of a mean over neighbouring bins, which a Hann taper makes alike, over that of independent ones."""
MARGIN_HOPS = 8
"""Spectra on either side of a place: it is good to one or two, filters' tails are shorter than four."""
LONGEST_S = 8.0
"""What is older is forgotten: a client needs no longer from its go to the end of its burst."""


@dataclass(frozen=True)
class Place:
    """Where a burst seems to be."""

    first: int
    """Its first sample in the capture, about."""
    last: int
    clear: bool
    """It stands out, and all of it is there."""


class Capture:
    """Samples of one window as they come in."""

    def __init__(self, numerology: Numerology, window: Window, bursts: Sequence[Burst]) -> None:
        self.window = window
        self.bursts = list(bursts)
        self._numerology = numerology
        self._hop = numerology.fft_size
        # Without a taper a strong neighbour would leak into everything.
        self._taper = np.hanning(self._hop).astype(np.float32)
        self._pieces: list[Samples] = []
        # Power over time where each burst is: the median of its RBs, which narrower bursts leave alone.
        self._powers: dict[str, list[NDArray[np.float32]]] = {burst.client: [] for burst in bursts}
        self._left = np.empty(0, np.complex64)
        self._hops = 0

    @property
    def samples(self) -> int:
        """How many there are, in whole spectra."""
        return self._hops * self._hop

    def add(self, samples: Samples) -> int:
        """Take the next samples; returns how many of the oldest were forgotten."""
        joined = np.concatenate([self._left, samples]) if len(self._left) else samples
        whole = len(joined) // self._hop * self._hop
        self._left = joined[whole:]
        piece = joined[:whole]
        spectrum = fft.fft(piece.reshape(-1, self._hop) * self._taper, axis=1)
        self._pieces.append(piece)
        self._note_power(spectrum.real**2 + spectrum.imag**2)
        self._hops += whole // self._hop
        forgotten = 0
        while self.samples - len(self._pieces[0]) > LONGEST_S * self._numerology.sample_rate_hz:
            forgotten += len(self._pieces[0])
            self._hops -= len(self._pieces[0]) // self._hop
            del self._pieces[0]
            for series in self._powers.values():
                del series[0]
        return forgotten

    def place(self, burst: Burst) -> Place:
        """Where ``burst`` seems to be, as far as the capture goes."""
        length = math.ceil(burst_air_samples(burst, self._numerology) / self._hop)
        if self._hops < length + 2 * MARGIN_HOPS:
            return Place(0, self.samples, False)
        power = np.concatenate(self._powers[burst.client])
        inside = _box_sums(power, length)
        first = int(np.argmax(inside))
        rest = self._hops - length
        outside = max((float(power.sum(dtype=np.float64)) - float(inside[first])) / rest, 1e-30)
        contrast = float(inside[first]) / length / outside - 1.0
        deviation = math.sqrt(_TAPERED * (1.0 / length + 1.0 / rest) / self._groups(burst).size)
        whole = first + length <= self._hops - MARGIN_HOPS
        clear = whole and contrast > max(CLEAR * deviation, LEAST_CONTRAST)
        return Place(first * self._hop, (first + length) * self._hop, clear)

    def cut(self, places: Sequence[Place]) -> Samples:
        """The stretch that holds all ``places`` and what a window has around bursts; everything if there are none.

        Without its mean, which is the receiver's DC offset: nobody sends at the carrier.
        """
        everything = np.concatenate(self._pieces) if self._pieces else np.zeros(8, np.complex64)
        stretch = everything[self._around(places, len(everything))]
        centred: Samples = stretch - stretch.mean(dtype=np.complex128).astype(np.complex64)
        return centred

    def _around(self, places: Sequence[Place], length: int) -> slice:
        if not places:
            return slice(0, length)
        margin = SILENT_SAMPLES + MARGIN_HOPS * self._hop
        first = max(min(place.first for place in places) - margin, 0)
        last = min(max(place.last for place in places) + margin, length)
        # Whole samples of every branch.
        return slice(first // 8 * 8, last // 8 * 8)

    def _note_power(self, spectra: NDArray[np.float32]) -> None:
        """Done as samples come in, so that nothing has to be caught up with when a burst is looked for."""
        for burst in self.bursts:
            by_rb = spectra[:, self._groups(burst)].mean(axis=2)
            self._powers[burst.client].append(np.median(by_rb, axis=1))

    def _groups(self, burst: Burst) -> NDArray[np.int64]:
        """Columns of a spectrum in which the burst's power is, wherever its carrier may be: (about its RBs, 8)."""
        numerology = self._numerology
        width = numerology.rb_subcarriers
        reach = math.ceil(max_cfo_hz(burst) / numerology.subcarrier_spacing_hz)
        centre, half = numerology.centre_subcarrier(burst.rb_start, burst.rb_count), width * burst.rb_count // 2
        wanted = np.arange(centre - half - reach, centre + half + reach)
        wanted = wanted[~np.isin(wanted, UNLOADED_SUBCARRIERS)]
        groups: NDArray[np.int64] = (wanted[: len(wanted) // width * width] % numerology.fft_size).reshape(-1, width)
        return groups


def _box_sums(power: NDArray[np.float32], length: int) -> NDArray[np.float64]:
    """Sums over every ``length`` neighbours."""
    total = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    sums: NDArray[np.float64] = total[length:] - total[:-length]
    return sums
