"""Fading: taps of a multipath channel, drawn or moving, their frequency response, and samples through them.

Pure functions that need no experiment. Block fading: taps stay as they are for as long as the caller uses
them. Delay profiles: 3GPP TS 38.901, tables 7.7.2-1 to 7.7.2-3 (``radio/data/delay_profiles.json``). Moving taps:
Clarke's model as a sum of sinusoids (Zheng and Xiao, IEEE Trans. Commun. 51(6), 2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from protocol.errors import ConfigurationError, DataError
from radio.channel.resampling import TAPS, interpolator

DELAY_PROFILES_FILE = Path(__file__).parents[1] / "data" / "delay_profiles.json"
FLAT_MODELS = ("awgn", "rayleigh", "rician")
SINUSOIDS = 32
"""Plane waves behind each moving tap."""
LONGEST_ECHO_S = 7.2e-6
"""Echoes that matter must come within this: of the prefix (12 us) FFT windows leave 8.5 us behind the mean path, less
what the filters need."""
ECHO_FLOOR = 1e-3
"""Echoes after which less than this share of the mean power comes do not matter."""


class Taps(NamedTuple):
    """One realisation of a channel."""

    delays_s: NDArray[np.float64]
    """Delay of each tap, s, shape (taps,)."""
    gains: NDArray[np.complex128]
    """Complex amplitude of each tap, shape (taps,)."""

    @property
    def flat(self) -> bool:
        """Whether the channel is one gain for all frequencies."""
        return len(self.delays_s) == 1 and self.delays_s[0] == 0.0


@dataclass(frozen=True)
class FadingModel:
    """What taps are drawn from: mean total power 1, taps independent and complex Gaussian."""

    name: str
    """``awgn``, ``rayleigh``, ``rician``, or a delay profile: ``tdl-a``, ``tdl-b``, ``tdl-c``."""
    delay_spread_s: float = 300e-9
    """RMS delay spread to which a delay profile is scaled, s."""
    rician_k_db: float = 10.0
    """``rician``: power of the constant path over the mean power of the scattered ones, dB."""
    minimum_fade_db: float | None = None
    """``rayleigh``: a gain below this is drawn again."""

    def __post_init__(self) -> None:
        if self.name not in FLAT_MODELS and self.name not in delay_profiles():
            known = ", ".join((*FLAT_MODELS, *delay_profiles()))
            raise ConfigurationError(f"channel.model: no model '{self.name}'; there are: {known}")
        if self.longest_echo_s > LONGEST_ECHO_S:
            raise ConfigurationError(
                f"channel.delay_spread_s = {self.delay_spread_s:g}: echoes of {self.name} then reach "
                f"{1e6 * self.longest_echo_s:.1f} us, and the prefix carries {1e6 * LONGEST_ECHO_S:.1f} us; "
                f"{self.name} may have at most {largest_delay_spread_s(self.name):.3g}"
            )

    @property
    def line_of_sight(self) -> float:
        """Share of the mean power in a constant path (at the first tap)."""
        if self.name == "awgn":
            return 1.0
        if self.name == "rician":
            k: float = 10.0 ** (self.rician_k_db / 10.0)
            return k / (1.0 + k)
        return 0.0

    def delays_s(self) -> NDArray[np.float64]:
        """Delay of each tap, s, shape (taps,)."""
        if self.name in FLAT_MODELS:
            return np.zeros(1)
        return self.delay_spread_s * np.array(delay_profiles()[self.name].delays)

    def scattered_powers(self) -> NDArray[np.float64]:
        """Mean power of each tap without the constant path, shape (taps,); with it they add up to 1."""
        if self.name in FLAT_MODELS:
            return np.array([1.0 - self.line_of_sight])
        powers = 10.0 ** (np.array(delay_profiles()[self.name].powers_db) / 10.0)
        normalised: NDArray[np.float64] = powers / powers.sum()
        return normalised

    @property
    def longest_echo_s(self) -> float:
        """Delay of the last echo that matters, s."""
        return self.delay_spread_s * _longest_echo(self.name)


class DelayProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tapped delay line whose delay spread is 1."""

    delays: list[float]
    powers_db: list[float]


class _DelayProfilesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    profiles: dict[str, DelayProfile]


@lru_cache(maxsize=1)
def delay_profiles() -> dict[str, DelayProfile]:
    """The shipped profiles by name. Raises DataError if their file is missing or damaged."""
    try:
        return msgspec.json.decode(DELAY_PROFILES_FILE.read_bytes(), type=_DelayProfilesFile).profiles
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{DELAY_PROFILES_FILE}: delay profiles cannot be read: {error}") from error


def largest_delay_spread_s(name: str) -> float:
    """RMS delay spread up to which all echoes of a model that matter come within the prefix, s; inf if it has none."""
    echo = _longest_echo(name)
    return LONGEST_ECHO_S / echo if echo else math.inf


def _longest_echo(name: str) -> float:
    """Delay of the last echo that matters at an RMS delay spread of 1."""
    if name in FLAT_MODELS:
        return 0.0
    profile = delay_profiles()[name]
    delays, powers = np.array(profile.delays), 10.0 ** (np.array(profile.powers_db) / 10.0)
    floor = ECHO_FLOOR * powers.sum()
    return float(max(d for d in delays if d == 0.0 or powers[delays >= d].sum() >= floor))


def draw_taps(rng: np.random.Generator, model: FadingModel) -> Taps:
    """An independent realisation of ``model``."""
    powers = model.scattered_powers()
    floor = _redraw_floor(model)
    while True:
        parts = rng.standard_normal((len(powers), 2)) * np.sqrt(0.5 * powers)[:, None]
        if np.sum(parts * parts) >= floor:
            break
    gains = parts[:, 0] + 1j * parts[:, 1]
    if model.line_of_sight > 0.0:
        # The path of an AWGN channel is the reference of phases; the carrier's own phase is drawn elsewhere.
        phase = 0.0 if model.name == "awgn" else rng.uniform(0.0, 2.0 * np.pi)
        gains[0] += np.sqrt(model.line_of_sight) * np.exp(1j * phase)
    return Taps(model.delays_s(), gains)


def draw_moving_taps(rng: np.random.Generator, model: FadingModel, doppler_hz: float, time_s: float) -> Taps:
    """The realisation at ``time_s`` of a channel whose waves are drawn from ``rng``.

    The same fresh ``rng`` at two times gives two moments of one channel: each scattered tap has autocorrelation
    J0(2 pi ``doppler_hz`` dt) over the ensemble. ``minimum_fade_db`` does not apply: it would cut the correlation.
    """
    powers = model.scattered_powers()
    wave = np.arange(SINUSOIDS)
    angles = (2.0 * np.pi * wave + rng.uniform(-np.pi, np.pi, (len(powers), 1))) / SINUSOIDS
    phases = rng.uniform(0.0, 2.0 * np.pi, (len(powers), SINUSOIDS))
    turn = 2.0 * np.pi * doppler_hz * time_s
    gains = np.sqrt(powers / SINUSOIDS) * np.sum(np.exp(1j * (turn * np.cos(angles) + phases)), axis=1)
    if model.name == "awgn":
        gains[0] = 1.0
    elif model.line_of_sight > 0.0:
        angle, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
        gains[0] += np.sqrt(model.line_of_sight) * np.exp(1j * (turn * np.cos(angle) + phase))
    return Taps(model.delays_s(), gains)


def frequency_response(taps: Taps, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Exact response at ``frequency_hz`` relative to the carrier, complex128 of the same shape."""
    turns = np.multiply.outer(np.asarray(frequency_hz, np.float64), taps.delays_s)
    response: NDArray[np.complex128] = np.exp(-2j * np.pi * turns) @ taps.gains
    return response


def apply_taps(samples: NDArray[np.complex64], taps: Taps, sample_rate_hz: float) -> NDArray[np.complex64]:
    """``samples`` (complex64 (n,)) through the channel, complex64 (n,): delay 0 stays in place, later echoes are cut.

    Delays are band-limited fractions of a sample: errors are 60 dB or more down over 0.9 of the band.
    """
    if taps.flat:
        return samples * np.complex64(taps.gains[0])
    response, lead = _impulse_response(taps, sample_rate_hz)
    size = fft.next_fast_len(len(samples) + len(response) - 1)
    spectrum = fft.fft(samples, size) * fft.fft(response, size)
    convolved: NDArray[np.complex64] = fft.ifft(spectrum, overwrite_x=True)[lead : lead + len(samples)]
    return convolved


def _impulse_response(taps: Taps, sample_rate_hz: float) -> tuple[NDArray[np.complex64], int]:
    """Windowed sincs at the taps' delays, complex64, and the index of delay 0."""
    delays = taps.delays_s * sample_rate_hz
    lead = TAPS // 2 - 1
    offsets = np.arange(TAPS) - lead
    response = np.zeros(int(delays.max()) + TAPS, np.complex128)
    for delay, gain in zip(delays, taps.gains, strict=True):
        whole = int(delay)
        response[whole : whole + TAPS] += gain * interpolator(delay - whole, offsets)
    return response.astype(np.complex64), lead


def _redraw_floor(model: FadingModel) -> float:
    if model.name != "rayleigh" or model.minimum_fade_db is None:
        return 0.0
    floor: float = 10.0 ** (model.minimum_fade_db / 10.0)
    return floor
