"""A narrow-band jammer: what the silent window bars, what a sounding sees, what data beside it loses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from multiprocessing.pool import Pool

import numpy as np

from base_station.channel import barred_rbs
from benchmarks.robustness.heard import (
    CLOCK_ESTIMATE_PPM,
    MAX_CLOCK_PPM,
    NUMEROLOGY,
    SEED,
    Heard,
    guessed_snr_db,
    hear,
    loss_text,
    needed_snr_db,
    random_data_burst,
    random_flight,
    verdict,
)
from protocol.bursts import SoundingBurst
from protocol.configuration import RadioTable
from protocol.random_streams import random_stream
from radio.channel.jammer import jammer
from radio.modem import max_blocks, measure_silence
from radio.modem.trial import white_noise
from radio.soundings import SILENT_WINDOW_SAMPLES

RB_START = 10
MCS = ("qpsk-602", "16qam-3/4", "16qam-750", "64qam-772")
LIMIT_DB = 1.0
SOUNDED_SNR_DB = (5.0, 25.0)
BURST_SAMPLES = 60_000
RB_NOISE = NUMEROLOGY.rb_subcarriers / NUMEROLOGY.fft_size
"""Power of noise in one RB, of power 1 over the full rate."""


@dataclass(frozen=True)
class Jam:
    """``rb_count`` RBs from ``RB_START`` on, each ``over_noise_db`` above the noise in it."""

    rb_count: int
    over_noise_db: float

    @property
    def name(self) -> str:
        """In words."""
        return f"a jammer of {self.rb_count} RB at {self.over_noise_db:g} dB"

    def over(self, heard: Heard, rng: np.random.Generator) -> Heard:
        """``heard`` with the jammer on the air."""
        return replace(heard, noise=heard.noise + self.samples(rng, len(heard.noise)))

    def samples(self, rng: np.random.Generator, n_samples: int) -> np.ndarray:
        """Over noise of power 1."""
        power = RB_NOISE * 10.0 ** (self.over_noise_db / 10.0)
        return jammer(rng, n_samples, NUMEROLOGY, RB_START, self.rb_count, power)


def barred(jam: Jam, index: int) -> list[int]:
    """What a silent window bars."""
    rng = random_stream(SEED, "silent window", jam.rb_count, index)
    stream = white_noise(rng, SILENT_WINDOW_SAMPLES, 1.0) + jam.samples(rng, SILENT_WINDOW_SAMPLES)
    return barred_rbs(measure_silence(stream, NUMEROLOGY)[0], RadioTable().barred_interference_db)


def sounded_sinr_error_db(jam: Jam | None, snr_db: float, index: int) -> np.ndarray | None:
    """SINR per RB that a sounding reports, less the true SNR; None if it was not found."""
    key = ("jammed sounding", index)
    rng = random_stream(SEED, *key)
    burst = SoundingBurst("bench", int(rng.integers(2**62)), 0, NUMEROLOGY.rb_total)
    heard = hear(key, burst, random_flight(rng, float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM))))
    report = (jam.over(heard, rng) if jam else heard).report(snr_db)
    return np.array(report.sinr_db) - snr_db if report.detected else None


def data_loss_db(mcs: str, grant: tuple[int, int], jams: list[Jam], bursts: int) -> list[float]:
    """How much more SNR a grant needs with each of ``jams`` than without."""
    guess_db = guessed_snr_db(mcs)
    alone = [_burst(mcs, grant, index) for index in range(bursts)]
    alone_db = needed_snr_db(alone, guess_db - 3.0, guess_db + 4.0)
    losses = []
    for jam in jams:
        jammed = [jam.over(heard, random_stream(SEED, "jammer", i)) for i, heard in enumerate(alone)]
        losses.append(needed_snr_db(jammed, alone_db - 0.5, alone_db + 6.0) - alone_db)
    return losses


def _burst(mcs: str, grant: tuple[int, int], index: int) -> Heard:
    key = ("jammed data", mcs, *grant, index)
    rng = random_stream(SEED, *key)
    clock_ppm = float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM))
    blocks = max(max_blocks(*grant, mcs, NUMEROLOGY, BURST_SAMPLES), 2)
    burst = random_data_burst(rng, grant, mcs, blocks, clock_ppm, CLOCK_ESTIMATE_PPM)
    return hear(key, burst, random_flight(rng, clock_ppm))


def show(pool: Pool, quick: bool) -> None:
    """Print what a jammer costs."""
    jams = [Jam(count, over_db) for over_db in (20.0, 30.0, 40.0) for count in (1, 2)]
    for jam in jams:
        wanted = list(range(RB_START, RB_START + jam.rb_count))
        got = pool.starmap(barred, [(jam, index) for index in range(20)])
        print(f"  {jam.name}: silent windows bar {got[0]}, {verdict(sum(b != wanted for b in got), 0)} of 20 otherwise")
    soundings = 4 if quick else 16
    for snr_db in SOUNDED_SNR_DB:
        for jam in [None, *jams[::2]]:
            errors = pool.starmap(sounded_sinr_error_db, [(jam, snr_db, index) for index in range(soundings)])
            _print_sounding(jam, snr_db, errors)
    bursts = 6 if quick else 16
    grants = [(RB_START - 6 - gap, 6) for gap in (0, 1)]
    jobs = [(mcs, grant, jams, bursts) for mcs in (MCS[:1] if quick else MCS) for grant in grants]
    for (mcs, grant, _, _), losses in zip(jobs, pool.starmap(data_loss_db, jobs, chunksize=1), strict=True):
        for jam, loss_db in zip(jams, losses, strict=True):
            gap = RB_START - sum(grant)
            print(
                f"  data, {mcs:10s} 6 RBs, {gap} RB from {jam.name}: loss {loss_text(loss_db)} dB   "
                f"{verdict(loss_db, LIMIT_DB)}",
                flush=True,
            )


def _print_sounding(jam: Jam | None, snr_db: float, errors: list[np.ndarray | None]) -> None:
    heard = [e for e in errors if e is not None]
    distance = np.abs(np.arange(NUMEROLOGY.rb_total) - RB_START)
    line = f"  sounding at {snr_db:2g} dB, {jam.name if jam else 'no jammer':28s}: {len(heard)} of {len(errors)} found"
    if heard:
        mean_db = np.mean(heard, axis=0)
        parts = [f"{d} RB away {np.mean(mean_db[distance == d]):5.1f}" for d in (1, 2, 4)]
        line += f"   SINR too low by, dB: {', '.join(parts)}, all further {np.mean(mean_db[distance > 4]):5.1f}"
    print(line, flush=True)
