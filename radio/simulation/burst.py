"""One burst of a simulation: drawn, sent through the whole chain, received, compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from protocol.bursts import BurstReport, DataBurst
from protocol.random_streams import random_stream
from radio.channel.fading import Taps, apply_taps, draw_taps, frequency_response
from radio.channel.impairments import PRESETS, draw_phases, impair_reception, impair_transmission
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.modem import burst_air_samples, max_blocks, receive
from radio.modem.trial import Impairments, Neighbour, Scene, Stage, random_blocks, send
from radio.simulation.mcs_choice import choose_burst_mcs
from radio.simulation.scenario import AUTO, NUMEROLOGY, Grant, Point, Scenario

MAX_CFO_HZ = 2e3
"""What the grant's correction leaves of a carrier offset."""
MAX_CLOCK_PPM = 50.0
"""Two crystals of 25 ppm."""
CLOCK_ESTIMATE_PPM = 0.2
"""Error of the clock offset told to the receiver, which follows from the sounding's carrier offset."""
NEIGHBOUR_MCS = "16qam-1/2"
EARLIEST_START, LATEST_START = 1000.0, 3000.0
"""Where in the stream a burst may begin, full-rate samples."""


class BurstOutcome(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one burst."""

    mcs: str
    detected: bool
    blocks: int
    lost: int
    """Blocks that did not arrive, those of an undetected burst and wrong ones included."""
    wrong: int
    """Blocks that passed their CRC with other content than was sent."""
    air_samples: int
    spectral_capacity: float
    """log2(1 + SNR), mean over the burst's subcarriers, bit/s/Hz."""
    evm_db: float


def simulate_burst(scenario: Scenario, point: Point, index: int) -> BurstOutcome:
    """Burst ``index`` of a point. Everything random in it depends on (seed, point, index) alone."""
    rng = random_stream(scenario.seed, "link simulation", round(1000 * point.snr_db), point.mcs, index)
    taps = draw_taps(rng, scenario.fading)
    snr = 10.0 ** (point.snr_db / 10.0) * subcarrier_gains(scenario, taps)
    mcs = point.mcs if point.mcs != AUTO else choose_burst_mcs(scenario, _sinr_db(scenario, snr))
    impairments = _impairments(rng, point.snr_db + scenario.loaded_gain_db)
    burst = _burst(rng, scenario, scenario.grants[0], mcs, impairments.clock_ppm)
    blocks = random_blocks(rng, burst)
    stream = send(rng, burst, blocks, impairments, NUMEROLOGY, _scene(rng, scenario, taps, burst))
    report = receive(burst, stream, NUMEROLOGY)
    return _outcome(burst, blocks, report, float(np.mean(np.log2(1.0 + snr))))


def subcarrier_gains(scenario: Scenario, taps: Taps) -> NDArray[np.float64]:
    """Power gain of the channel on each loaded subcarrier of the wanted grant."""
    grant = scenario.grants[0]
    subcarriers = NUMEROLOGY.loaded_subcarriers(*grant) + NUMEROLOGY.centre_subcarrier(*grant)
    response = frequency_response(taps, subcarriers * NUMEROLOGY.subcarrier_spacing_hz)
    return np.asarray(response.real**2 + response.imag**2)


def _sinr_db(scenario: Scenario, snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a perfect sounding of this very channel would say: SNR per loaded subcarrier, mean of each RB, dB."""
    grant = scenario.grants[0]
    half = NUMEROLOGY.rb_subcarriers * grant.rb_count // 2
    rb = (NUMEROLOGY.loaded_subcarriers(*grant) + half) // NUMEROLOGY.rb_subcarriers
    mean = np.bincount(rb, snr) / np.bincount(rb)
    return scenario.loaded_gain_db + 10.0 * np.log10(mean)


def _scene(rng: np.random.Generator, scenario: Scenario, taps: Taps, burst: DataBurst) -> Scene:
    neighbours = tuple(_neighbour(rng, scenario, grant, burst) for grant in scenario.grants[1:])
    hardware = PRESETS[scenario.impairments]
    if hardware is None:
        return Scene(fading=_fading(taps), neighbours=neighbours)
    transmitter, receiver = draw_phases(rng), draw_phases(rng)
    return Scene(
        fading=_fading(taps),
        neighbours=neighbours,
        transmitter=lambda samples: impair_transmission(samples, hardware, transmitter, TX_PEAK_AMPLITUDE),
        receiver=lambda samples: impair_reception(samples, hardware, receiver, math.inf)[0],
    )


def _fading(taps: Taps) -> Stage:
    return lambda samples: apply_taps(samples, taps, NUMEROLOGY.sample_rate_hz)


def _impairments(rng: np.random.Generator, snr_db: float) -> Impairments:
    return Impairments(
        snr_db=snr_db,
        start=float(rng.uniform(EARLIEST_START, LATEST_START)),
        cfo_hz=float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)),
        clock_ppm=float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM)),
    )


def _burst(rng: np.random.Generator, scenario: Scenario, grant: Grant, mcs: str, clock_ppm: float) -> DataBurst:
    return DataBurst(
        client="simulated",
        burst_id=int(rng.integers(2**62)),
        rb_start=grant.rb_start,
        rb_count=grant.rb_count,
        mcs=mcs,
        block_ids=list(range(scenario.blocks(mcs))),
        clock_offset_ppm=clock_ppm + float(rng.uniform(-CLOCK_ESTIMATE_PPM, CLOCK_ESTIMATE_PPM)),
    )


def _neighbour(rng: np.random.Generator, scenario: Scenario, grant: Grant, wanted: DataBurst) -> Neighbour:
    """Another client about as long on the air as the ``wanted`` one, with its own timing, carrier and clock."""
    length = burst_air_samples(wanted, NUMEROLOGY)
    blocks = max(1, max_blocks(*grant, NEIGHBOUR_MCS, NUMEROLOGY, length))
    burst = DataBurst(
        client="neighbour",
        burst_id=int(rng.integers(2**62)),
        rb_start=grant.rb_start,
        rb_count=grant.rb_count,
        mcs=NEIGHBOUR_MCS,
        block_ids=list(range(blocks)),
    )
    return Neighbour(
        burst=burst,
        blocks=random_blocks(rng, burst),
        density_db=scenario.neighbour_db,
        start=float(rng.uniform(EARLIEST_START, LATEST_START)),
        cfo_hz=float(rng.uniform(-MAX_CFO_HZ, MAX_CFO_HZ)),
        clock_ppm=float(rng.uniform(-MAX_CLOCK_PPM, MAX_CLOCK_PPM)),
        fading=_fading(draw_taps(rng, scenario.fading)),
    )


def _outcome(burst: DataBurst, sent: Sequence[bytes], report: BurstReport, spectral_capacity: float) -> BurstOutcome:
    pairs = list(zip(report.blocks, sent, strict=True))
    return BurstOutcome(
        mcs=burst.mcs,
        detected=report.detected,
        blocks=len(pairs),
        lost=sum(got != content for got, content in pairs),
        wrong=sum(got not in (None, content) for got, content in pairs),
        air_samples=report.air_samples,
        spectral_capacity=spectral_capacity,
        evm_db=report.evm_db,
    )
