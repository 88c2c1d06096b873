"""Finding bursts whose carrier is off, and not finding those that are not there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from multiprocessing.pool import Pool

import numpy as np

from benchmarks.robustness.heard import MAX_CLOCK_PPM, NUMEROLOGY, SEED, hear, verdict
from protocol.bursts import Burst, DataBurst, SoundingBurst
from protocol.random_streams import random_stream
from radio.modem import receive
from radio.modem.layout import burst_layout
from radio.modem.receiver import max_cfo_hz
from radio.modem.trial import Impairments, Samples, branch, noise_power, random_blocks, transmitted, white_noise
from radio.soundings import ACQUISITION_RBS

CARRIER_HZ = 2.4e9
NEIGHBOUR_MCS = "16qam-3/4"
BESIDE_RBS = 6
LOWEST_MCS_DB = {"convolutional": 0.2, "ldpc": -1.9}
"""SNR per RB at which the lowest MCS of a codec loses a tenth of its blocks."""
WIDTHS = ((1, 2), tuple(range(3, 8)), tuple(range(8, 16)), tuple(range(16, 29)))
MISSED_LIMIT = 0.01
SEARCHED_SAMPLES = 4096
"""Zeros and jitter around a burst in its window."""


@dataclass(frozen=True)
class Search:
    """Bursts of one kind at one SNR per RB; ``rb_count`` matters for data."""

    kind: str
    snr_db: float
    rb_count: int = NUMEROLOGY.rb_total
    mcs: str = "bpsk-1/2"


@dataclass(frozen=True)
class Found:
    """What became of a burst: ``good`` if found where it is, with the carrier's error then."""

    good: bool
    cfo_error_hz: float = math.nan


def look_for(search: Search, index: int) -> Found:
    """Send one burst and look for it. Every other one has its carrier at the edge of the range."""
    key = ("first contact", search.kind, search.rb_count, round(10 * search.snr_db), index)
    rng = random_stream(SEED, *key)
    burst = burst_of(search, rng)
    reach_hz = max_cfo_hz(burst)
    cfo_hz = float(rng.uniform(-reach_hz, reach_hz)) if index % 2 else reach_hz * (1 - index % 4)
    # One crystal moves carrier and clock; a data burst's carrier is corrected, its clock is not.
    clock_ppm = (
        1e6 * cfo_hz / CARRIER_HZ if search.kind == "acquisition" else rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM)
    )
    flight = Impairments(search.snr_db, float(rng.uniform(1100.0, 3000.0)), cfo_hz, float(clock_ppm), 1500)
    report = hear(key, burst, flight).report(search.snr_db)
    good = report.detected and abs(report.start_sample - flight.start) < NUMEROLOGY.cp
    return Found(good, report.cfo_hz - cfo_hz) if good else Found(False)


def burst_of(search: Search, rng: np.random.Generator) -> Burst:
    """A burst of the kind, as the base station asks for it."""
    burst_id = int(rng.integers(2**62))
    if search.kind == "data":
        room = NUMEROLOGY.rb_total - search.rb_count
        start = room // 2 if search.rb_count == BESIDE_RBS else int(rng.integers(room + 1))
        return DataBurst("bench", burst_id, start, search.rb_count, search.mcs, [0])
    if search.kind == "sounding":
        return SoundingBurst("bench", burst_id, 0, NUMEROLOGY.rb_total)
    first = (NUMEROLOGY.rb_total - ACQUISITION_RBS) // 2
    return SoundingBurst("bench", burst_id, first, ACQUISITION_RBS, acquisition=True)


def false_alarm(search: Search, index: int, strong_db: float | None = None) -> bool:
    """Whether the burst is found though it was not sent.

    Nothing but noise is there, or, ``strong_db`` above the noise, the bursts of the clients on either side.
    """
    rng = random_stream(SEED, "false alarm", search.kind, search.rb_count, index)
    burst = burst_of(search, rng)
    length = burst_layout(burst, NUMEROLOGY).symbols * NUMEROLOGY.symbol_samples + SEARCHED_SAMPLES
    stream = white_noise(rng, length, 1.0)
    if strong_db is not None:
        _add_neighbours(rng, burst, stream, strong_db)
    return receive(burst, branch(burst, stream, NUMEROLOGY), NUMEROLOGY).detected


def _add_neighbours(rng: np.random.Generator, burst: Burst, stream: Samples, snr_db: float) -> None:
    """Put 6 RBs on either side of ``burst``, one guard RB away, on the air of noise of power 1."""
    for start in (burst.rb_start - 7, burst.rb_start + burst.rb_count + 1):
        other = DataBurst("other", int(rng.integers(2**62)), start, 6, NEIGHBOUR_MCS, list(range(20)))
        start_sample = float(rng.uniform(0.0, SEARCHED_SAMPLES))
        sent = transmitted(other, random_blocks(rng, other), NUMEROLOGY, start_sample, tail=len(stream))
        amplitude = np.float32(noise_power(other, snr_db, NUMEROLOGY) ** -0.5)
        stream += amplitude * sent[: len(stream)]


def show(pool: Pool, quick: bool) -> None:
    """Print how many bursts are found where they are, and how many where they are not."""
    bursts, windows = (60, 100) if quick else (200, 500)
    print("  every other burst has its carrier at the edge of the range; SNR per RB; carrier error RMS and largest")
    for kind in ("acquisition", "sounding"):
        for snr_db in (10.0, *LOWEST_MCS_DB.values(), -4.0, -6.0):
            _print_found(pool, f"{kind:11s}", snr_db, [(Search(kind, snr_db), index) for index in range(bursts)])
    for snr_db in LOWEST_MCS_DB.values():
        for widths in WIDTHS:
            jobs = [
                (Search("data", snr_db, width), index) for width in widths for index in range(bursts // len(widths))
            ]
            _print_found(pool, f"data {widths[0]:2d}..{widths[-1]:2d} RBs", snr_db, jobs)
    for search in (
        Search("acquisition", 0.0),
        Search("sounding", 0.0),
        Search("data", 0.0, 1),
        Search("data", 0.0, 28),
    ):
        alarms = sum(pool.starmap(false_alarm, [(search, index) for index in range(windows)], chunksize=20))
        name = f"{search.kind}, {search.rb_count} RBs" if search.kind == "data" else search.kind
        print(f"  {name}, noise alone: {alarms} found in {windows} windows, {verdict(alarms, 0)}")
    beside = Search("data", 0.0, BESIDE_RBS)
    for strong_db in (20.0, 40.0):
        jobs = [(beside, index, strong_db) for index in range(windows // 2)]
        alarms = sum(pool.starmap(false_alarm, jobs, chunksize=20))
        print(
            f"  data, {BESIDE_RBS} RBs, absent between two clients {strong_db:g} dB above the noise: "
            f"{alarms} found in {len(jobs)} windows, {verdict(alarms, 0)}"
        )


def _print_found(pool: Pool, name: str, snr_db: float, jobs: list[tuple[Search, int]]) -> None:
    error_hz = [f.cfo_error_hz for f in pool.starmap(look_for, jobs, chunksize=10) if f.good]
    missed = 1.0 - len(error_hz) / len(jobs)
    rms, largest = (np.sqrt(np.mean(np.square(error_hz))), np.max(np.abs(error_hz))) if error_hz else (0.0, 0.0)
    limit = verdict(missed, MISSED_LIMIT) if snr_db >= min(LOWEST_MCS_DB.values()) else "below every MCS"
    print(
        f"  {name:17s} {snr_db:5.1f} dB: {len(error_hz):3d} of {len(jobs):3d} found   "
        f"{rms:6.1f} Hz, {largest:6.1f} Hz   {limit}",
        flush=True,
    )
