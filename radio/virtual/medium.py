"""The medium that joins virtual Plutos: what each receiver's antenna gets of every transmitter, and noise.

A receiver's samples follow from the seed, the sample index and what is sent, however the stream is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import fft

from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel
from radio.channel.levels import THERMAL_NOISE_DBM_HZ
from radio.virtual.configuration import MediumFile, fading_of, loss_db_between
from radio.virtual.front_end import FrontEnd
from radio.virtual.interpolation import at_other_rate, drifting, reach_at_other_rate, span
from radio.virtual.paths import Path
from radio.virtual.reception import Codes, converter_codes
from radio.virtual.transmission import Samples

_NOISE_BLOCK = 1 << 14
_LARGEST_DRIFT = 240e-6
"""Two clocks further apart have different rates."""
_ALIAS_FREE = 0.02
"""Carriers closer than this part of the rate are mixed without a filter: only filter slopes lie at the band's edges."""
_BAND_TAPS = 128
_WHOLE = 1e-6
_PHASOR_BLOCK = 256
_STRIDE = 1 << 15
"""Longest piece that is made at once, samples: what fits the processor's caches."""


class Medium:
    """All paths between the radios ``front_ends`` (by name)."""

    def __init__(self, file: MediumFile, front_ends: Mapping[str, FrontEnd]) -> None:
        self._file = file
        self._front_ends = front_ends
        self._noise_blocks: dict[str, tuple[int, Samples]] = {}
        self._paths: dict[frozenset[str], Path] = {}
        for first in front_ends:
            for second in front_ends:
                self._paths.setdefault(frozenset((first, second)), self._new_path(first, second))

    def path(self, first: str, second: str) -> Path:
        """The path between two radios; between one and itself it is its own leakage."""
        return self._paths[frozenset((first, second))]

    def at_antenna(self, receiver: FrontEnd, first: int, n: int) -> Samples:
        """Samples ``first`` .. ``first + n`` of a receiver's clock, in square roots of mW: complex64 (n,)."""
        total = self._noise(receiver, first, n)
        if receiver.hears:
            for transmitter in self._front_ends.values():
                if transmitter.radiates:
                    self._add(total, transmitter, receiver, first)
        return total

    def codes(self, receiver: FrontEnd, first: int, n: int) -> Codes:
        """What the receiver's converter gives for these samples, int16 (n, 2); moves its gain control."""
        if receiver.settings.digital_loopback:
            return _looped_back(receiver, first, n)
        return np.concatenate(
            [
                receiver.codes(self.at_antenna(receiver, begin, min(_STRIDE, first + n - begin)))
                for begin in range(first, first + n, _STRIDE)
            ]
        )

    def _new_path(self, first: str, second: str) -> Path:
        medium, link = self._file.medium, self._file.link_of(first, second)
        ends = first, second
        if first == second:
            return Path(medium.seed, ends, medium.leakage_db, 0.0, FadingModel("awgn"))
        loss_db = loss_db_between(self._file, first, second)
        path = Path(medium.seed, ends, loss_db, link.delay_s, fading_of(medium, link))
        path.set_doppler(medium.doppler_hz if link.doppler_hz is None else link.doppler_hz)
        return path

    def _noise(self, receiver: FrontEnd, first: int, n: int) -> Samples:
        """Receiver noise at the antenna, thermal and of the receiver itself: fresh array, complex64 (n,)."""
        level_dbm = THERMAL_NOISE_DBM_HZ + receiver.table.noise_figure_db
        level_dbm += 10.0 * np.log10(receiver.settings.receive_rate_hz)
        noise = np.empty(n, np.complex64)
        begin = first
        while begin < first + n:
            block, offset = divmod(begin, _NOISE_BLOCK)
            count = min(_NOISE_BLOCK - offset, first + n - begin)
            part = self._noise_block(receiver.name, block)[offset : offset + count]
            noise[begin - first : begin - first + count] = part
            begin += count
        noise *= np.float32(10.0 ** (level_dbm / 20.0))
        return noise

    def _noise_block(self, name: str, block: int) -> Samples:
        """Unit noise of one block of a receiver's samples."""
        kept = self._noise_blocks.get(name)
        if kept is None or kept[0] != block:
            rng = random_stream(self._file.medium.seed, "virtual noise", name, block)
            parts = rng.standard_normal(2 * _NOISE_BLOCK, dtype=np.float32)
            parts *= np.float32(np.sqrt(0.5))
            kept = block, parts.view(np.complex64)
            self._noise_blocks[name] = kept
        return kept[1]

    def _add(self, total: Samples, transmitter: FrontEnd, receiver: FrontEnd, first: int) -> None:
        """Add what one transmitter contributes to ``total``, the receiver's samples from ``first`` on."""
        n, rate_hz = len(total), receiver.receive_clock.rate_hz
        begin_s = receiver.receive_clock.time_s(first)
        offset_hz = transmitter.transmit_lo_hz(begin_s) - receiver.receive_lo_hz(begin_s)
        if abs(offset_hz) >= 0.5 * (rate_hz + transmitter.transmit_clock.rate_hz):
            return
        path = self.path(transmitter.name, receiver.name)
        faded = self._faded(transmitter, receiver, path, begin_s, n, offset_hz / rate_hz)
        level = transmitter.amplitude() * path.amplitude * np.exp(1j * path.phase_rad)
        level *= np.exp(2j * np.pi * ((offset_hz * begin_s) % 1.0))
        leakage = transmitter.leakage() * path.response(begin_s, 0.0) if abs(offset_hz) < 0.5 * rate_hz else 0.0
        if faded is None:
            total += _phasor(n, offset_hz / rate_hz, level * leakage)
        else:
            faded = faded + np.complex64(leakage)
            faded *= _phasor(n, offset_hz / rate_hz, level)
            total += faded

    def _faded(
        self, transmitter: FrontEnd, receiver: FrontEnd, path: Path, begin_s: float, n: int, cycles: float
    ) -> Samples | None:
        """A transmitter's samples at the receiver's instants, through the fade, before the carriers' offset.

        ``cycles``: that offset, per sample of the receiver. None if the transmitter is silent.
        """
        clock = receiver.receive_clock
        before, after = path.margins(clock.rate_hz)
        band = _BAND_TAPS // 2 if abs(cycles) > _ALIAS_FREE else 0
        early_s = begin_s - (before + band) / clock.rate_hz - path.delay_s
        samples = _at_instants(transmitter, early_s, clock.rate_hz, n + before + after + 2 * band)
        if samples is None:
            return None
        if band:
            samples = _filtered(samples, _band_filter(cycles))
        return path.apply(samples, clock.rate_hz, begin_s)


def _phasor(n: int, cycles: float, amplitude: complex) -> Samples:
    """``amplitude * exp(2j pi cycles i)``, i = 0..n - 1, complex64 (n,): single precision from exact corner stones."""
    outer = amplitude * np.exp(2j * np.pi * ((_PHASOR_BLOCK * cycles * np.arange(-(-n // _PHASOR_BLOCK))) % 1.0))
    inner = np.exp(2j * np.pi * cycles * np.arange(_PHASOR_BLOCK))
    table: Samples = np.multiply.outer(outer.astype(np.complex64), inner.astype(np.complex64)).ravel()[:n]
    return table


def _at_instants(transmitter: FrontEnd, begin_s: float, rate_hz: float, n: int) -> Samples | None:
    """What a transmitter sends at ``n`` instants from ``begin_s`` on, ``rate_hz`` a second; None if nothing."""
    clock = transmitter.transmit_clock
    start, ratio = clock.position(begin_s), clock.rate_hz / rate_hz
    drift = ratio - 1.0
    if abs(drift) > _LARGEST_DRIFT:
        reach = reach_at_other_rate(ratio) + 1
        lowest, count = int(np.floor(start)) - reach, int(np.ceil(n * ratio)) + 2 * reach + 2
        samples = transmitter.sent(lowest, count)
        return None if samples is None else at_other_rate(samples, lowest, start, ratio, n)
    if drift == 0.0 and abs(start - round(start)) < _WHOLE:
        return transmitter.sent(round(start), n)
    lowest, count = span(start, drift, n)
    samples = transmitter.sent(lowest, count)
    return None if samples is None else drifting(samples, lowest, start, drift, n)


def _band_filter(cycles: float) -> Samples:
    """Keeps what still lies in the band after moving by ``cycles`` per sample: complex64 (_BAND_TAPS + 1,)."""
    index = np.arange(_BAND_TAPS + 1) - _BAND_TAPS // 2
    low, high = max(-0.5, -0.5 - cycles), min(0.5, 0.5 - cycles)
    centre, width = 0.5 * (low + high), high - low
    taps = width * np.sinc(width * index) * np.kaiser(_BAND_TAPS + 1, 6.0) * np.exp(2j * np.pi * centre * index)
    return np.asarray(taps, np.complex64)


def _filtered(samples: Samples, taps: Samples) -> Samples:
    """Convolution, only where ``samples`` cover the filter wholly: complex64 (len(samples) - len(taps) + 1,)."""
    size = fft.next_fast_len(len(samples))
    spectrum = fft.fft(samples, size) * fft.fft(taps, size)
    filtered: Samples = fft.ifft(spectrum, overwrite_x=True)[len(taps) - 1 : len(samples)]
    return filtered


def _looped_back(radio: FrontEnd, first: int, n: int) -> Codes:
    """The transmitter's 12-bit codes, sample by sample: int16 (n, 2)."""
    start = radio.transmit_clock.position(radio.receive_clock.time_s(first))
    ratio = radio.transmit_clock.rate_hz / radio.receive_clock.rate_hz
    index = np.floor(start + _WHOLE + ratio * np.arange(n)).astype(np.int64)
    samples = radio.queue.window(int(index[0]), int(index[-1] - index[0]) + 1)
    if samples is None:
        return np.zeros((n, 2), np.int16)
    taken = samples if ratio == 1.0 else samples[index - index[0]]
    codes, _ = converter_codes(np.ascontiguousarray(taken))
    return codes
