"""What a link simulation is asked: who sends what over which channel, and at which points.

SNR here is that of the contract (DESIGN, section 6): received power while on over N0 times the granted
bandwidth, the carrier's unloaded subcarriers included, no guard. Link tables and the modem count per
*loaded* subcarrier; ``Scenario.loaded_gain_db`` lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace

from protocol.configuration import CodecName
from protocol.errors import ConfigurationError
from radio.channel.fading import FLAT_MODELS, LONGEST_ECHO_S, FadingModel, delay_profiles, largest_delay_spread_s
from radio.channel.impairments import PRESETS
from radio.link_tables import LINK_TABLES_FILE, LinkTables
from radio.modem.layout import burst_symbols, max_blocks
from radio.modem.mcs import McsTable
from radio.numerology import DEFAULT_2MSPS

AUTO = "auto"
"""Instead of an MCS: the best one by the link tables, for each burst's own channel."""
NUMEROLOGY = DEFAULT_2MSPS
GUARD_RB = 1
MAX_NEIGHBOURS = 3
SNR_RANGE_DB = (-20.0, 60.0)
LARGEST_SEED = 2**53 - 1


class Grant(NamedTuple):
    """Contiguous RBs."""

    rb_start: int
    rb_count: int


class Point(Struct, frozen=True, forbid_unknown_fields=True):
    """One point of a sweep."""

    snr_db: float
    mcs: str
    """Name of a scheme, or ``auto``."""


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a simulation but its points."""

    seed: int = 1
    codec: CodecName = "ldpc"
    """Whose schemes ``auto`` chooses from."""
    rb_count: int = 16
    payload_bits: int = 100_000
    """Payload of a burst, rounded to whole blocks: at least one, at most the longest burst."""
    channel: str = "awgn"
    """``awgn``, ``rayleigh``, ``rician``, ``tdl-a``, ``tdl-b``, ``tdl-c``; one realisation a burst and client."""
    delay_spread_s: float = 300e-9
    rician_k_db: float = 10.0
    neighbours: int = 0
    """Other clients in adjacent grants, one guard RB between."""
    neighbour_db: float = 20.0
    """Their power per RB over the wanted client's."""
    impairments: str = "none"
    """Of every radio: ``none`` or ``pluto``."""
    burst_error_target: float = 0.05
    """Burst error rate that ``auto`` expects at most."""
    tables_file: str = ""
    """Link tables that ``auto`` goes by; empty: the shipped ones."""

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The wanted client's grant, then those of its neighbours.

        Alone it lies in the middle of the band. Neighbours share the rest evenly; in order of frequency the wanted
        one is second (first of two), so that somebody else lies where its image falls.
        """
        if not self.neighbours:
            return (Grant((NUMEROLOGY.rb_total - self.rb_count) // 2, self.rb_count),)
        width = (NUMEROLOGY.rb_total - self.rb_count - GUARD_RB * self.neighbours) // self.neighbours
        widths = [width] * self.neighbours
        place = 0 if self.neighbours == 1 else 1
        widths.insert(place, self.rb_count)
        starts = [sum(widths[:i]) + GUARD_RB * i for i in range(len(widths))]
        grants = [Grant(start, count) for start, count in zip(starts, widths, strict=True)]
        return (grants.pop(place), *grants)

    @property
    def bandwidth_hz(self) -> float:
        """Granted RBs and one guard."""
        return (self.rb_count + GUARD_RB) * NUMEROLOGY.rb_bandwidth_hz

    @property
    def loaded_gain_db(self) -> float:
        """SNR per loaded subcarrier over SNR in the granted bandwidth: the power lies on the loaded ones only.

        (The transmit filter takes sidelobes off, 0.06 dB of a burst over one RB and less of wider ones: not counted.)
        """
        loaded = len(NUMEROLOGY.loaded_subcarriers(*self.grants[0]))
        return 10.0 * math.log10(self.rb_count * NUMEROLOGY.rb_subcarriers / loaded)

    @property
    def fading(self) -> FadingModel:
        """What a burst's channel is drawn from. Raises ConfigurationError on a delay spread beyond the prefix."""
        return FadingModel(self.channel, delay_spread_s=self.delay_spread_s, rician_k_db=self.rician_k_db)

    @property
    def tables(self) -> LinkTables:
        """What ``auto`` goes by. Raises DataError if the codec was not measured."""
        return LinkTables.load(Path(self.tables_file) if self.tables_file else LINK_TABLES_FILE).of(self.codec)

    @property
    def auto_mcs(self) -> tuple[str, ...]:
        """What ``auto`` chooses from, in the order of the tables: schemes of which a block fits a burst.

        Raises ConfigurationError if there is none, DataError if the codec was not measured.
        """
        names = self.tables.mcs_names
        fitting = tuple(mcs for mcs in names if self._longest_burst(mcs))
        if not fitting:
            raise ConfigurationError(f"a block of '{self.codec}' {self._too_long(names)}")
        return fitting

    def blocks(self, mcs: str) -> int:
        """Blocks of a burst. Raises ConfigurationError if not even one fits."""
        block_bits = 8 * McsTable.load()[mcs].block_bytes
        longest = self._longest_burst(mcs)
        if not longest:
            raise ConfigurationError(f"a block of '{mcs}' {self._too_long([mcs])}")
        return min(max(1, round(self.payload_bits / block_bits)), longest)

    def _longest_burst(self, mcs: str) -> int:
        """Blocks of the longest burst."""
        return max_blocks(*self.grants[0], mcs, NUMEROLOGY)

    def _too_long(self, schemes: Sequence[str]) -> str:
        """What is wrong where no block of ``schemes`` fits, and from how many RBs on one does."""
        wider = (replace(self, rb_count=count) for count in range(self.rb_count + 1, NUMEROLOGY.rb_total + 1))
        enough = next(s.rb_count for s in wider if any(s._longest_burst(mcs) for mcs in schemes))
        return f"is longer than a burst over --rb {self.rb_count} may be; choose --rb {enough} or more"

    def air_s(self, mcs: str) -> float:
        """From a burst's first preamble sample to its last data sample, seconds."""
        symbols = burst_symbols(*self.grants[0], mcs, self.blocks(mcs), NUMEROLOGY)
        return symbols * NUMEROLOGY.symbol_samples / NUMEROLOGY.sample_rate_hz


def check(scenario: Scenario, points: Sequence[Point]) -> None:
    """Raise ConfigurationError on a simulation that cannot be, before any time is spent on it.

    Errors name the options of ``airtune link simulate``.
    """
    _check_name("channel", scenario.channel, (*FLAT_MODELS, *delay_profiles()))
    _check_name("codec", scenario.codec, get_args(CodecName))
    _check_name("impairments", scenario.impairments, tuple(PRESETS))
    _check_range("--seed", scenario.seed, 0, LARGEST_SEED)
    _check_range("Rician K, dB:", scenario.rician_k_db, -60.0, 60.0)
    _check_delay_spread(scenario)
    _check_range("--rb", scenario.rb_count, 1, NUMEROLOGY.rb_total)
    _check_range("--payload-bits", scenario.payload_bits, 1, 10_000_000)
    _check_range("--neighbours", scenario.neighbours, 0, MAX_NEIGHBOURS)
    _check_range("--neighbour-db", scenario.neighbour_db, -60.0, 60.0)
    if min(grant.rb_count for grant in scenario.grants) < 1:
        raise ConfigurationError(
            f"--neighbours {scenario.neighbours} beside --rb {scenario.rb_count} do not fit {NUMEROLOGY.rb_total} RBs; "
            "choose fewer of either"
        )
    for point in points:
        _check_range("--snr-db", point.snr_db, *SNR_RANGE_DB)
        if point.mcs != AUTO:
            scenario.blocks(point.mcs)
    if any(point.mcs == AUTO for point in points):
        scenario.auto_mcs  # noqa: B018  (says itself what is missing)


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigurationError(f"unknown {what} '{name}'; known: {', '.join(known)}")


def _check_range(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{option} {value:.16g}: must be {least:.16g} to {most:.16g}")


def _check_delay_spread(scenario: Scenario) -> None:
    most_s = largest_delay_spread_s(scenario.channel)
    if not 0.0 <= scenario.delay_spread_s <= most_s:
        raise ConfigurationError(
            f"--delay-spread-ns {1e9 * scenario.delay_spread_s:g}: must be 0 to {math.floor(1e9 * most_s)} with "
            f"{scenario.channel}: the prefix carries echoes of up to {1e6 * LONGEST_ECHO_S:g} us"
        )
