"""What the waveform costs: error floor, shares of a burst, estimates, neighbours, clocks.

    OMP_NUM_THREADS=1 python -m benchmarks.waveform [--bursts 24] [floor] [budget] [neighbours] [clock]

Bursts pass the whole modem (detection, every estimate); the error of their equalised data elements is compared
with what was sent. SNR is per RB, AWGN.

    floor       error without noise, mean and worst subcarrier, by size of the grant; flat and over echoes
    budget      16 RBs, about 100 kbit: shares of band and burst, and dB lost to estimates and to the floor
    neighbours  loss of a weak grant between two strong ones, one guard RB away, carriers 2 kHz towards it; then of
                one on which the image (-45 dBc) of a strong one falls
    clock       loss over the longest burst (2^18 samples), sample clock 50 ppm off, told and not told
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.arguments import integer, one_of
from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.channel.fading import FadingModel, apply_taps, draw_taps
from radio.channel.impairments import PLUTO, draw_phases, impair_reception, impair_transmission
from radio.channel.levels import TX_PEAK_AMPLITUDE
from radio.link_tables import LinkTables
from radio.modem import max_blocks
from radio.modem.block_coding import encode_blocks
from radio.modem.detection import detect
from radio.modem.layout import BurstLayout, burst_layout
from radio.modem.mcs import McsTable
from radio.modem.observation import observe_data
from radio.modem.ofdm import modulate_grid
from radio.modem.sequences import training_grid
from radio.modem.trial import CLEAN, Impairments, Neighbour, Scene, random_blocks, send
from radio.numerology import DEFAULT_2MSPS

MAX_CFO_HZ = 2e3
QUIET_DB = 90.0
MCS = "64qam-666"
BURST_BITS = 100e3
TARGET_BLOCK_ERROR_RATE = 0.005


@dataclass(frozen=True)
class Errors:
    """Error power of a burst's data elements over the power of the burst's subcarriers, per subcarrier."""

    layout: BurstLayout
    per_subcarrier: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Of all subcarriers."""
        return float(np.mean(self.per_subcarrier))

    @property
    def worst(self) -> float:
        """Of the worst one."""
        return float(np.max(self.per_subcarrier))


def db(ratio: float) -> float:
    """Power ratio in dB."""
    return float(10.0 * np.log10(ratio))


def data_burst(rb_start: int, rb_count: int, mcs: str, blocks: int, burst_id: int, told_ppm: float = 0.0) -> DataBurst:
    """A grant at full power."""
    ids = list(range(blocks))
    return DataBurst("bench", burst_id, rb_start, rb_count, mcs, ids, clock_offset_ppm=told_ppm)


def errors_of(burst: DataBurst, impairments: Impairments, rng: np.random.Generator, scene: Scene = CLEAN) -> Errors:
    """Send ``burst``, receive it, compare its elements with what was sent."""
    layout = burst_layout(burst, DEFAULT_2MSPS)
    blocks = random_blocks(rng, burst)
    samples = send(rng, burst, blocks, impairments, DEFAULT_2MSPS, scene)
    training = training_grid(burst.burst_id, layout)
    found = detect(samples, modulate_grid(training[: layout.detection_symbols], layout), layout, MAX_CFO_HZ)
    if found is None:
        raise SystemExit(f"burst {burst.burst_id} over {burst.rb_count} RBs was not found")
    seen = observe_data(samples, found, layout, training, burst)
    error = np.abs(seen.symbols - encode_blocks(burst, blocks, len(seen.symbols))) ** 2
    column = np.nonzero(~layout.pilot_mask())[1]
    power = np.abs(seen.channel) ** 2
    per_subcarrier = np.bincount(column, error) / np.bincount(column)
    return Errors(layout, per_subcarrier * power / power.mean())


def mean_errors(
    bursts: int,
    grant: tuple[int, int],
    snr_db: float,
    scenes: Callable[[int], Scene] = lambda _: CLEAN,
    mcs: str = MCS,
    blocks: int = 0,
) -> Errors:
    """Mean over ``bursts`` of random timing and carrier offset; ``grant``: first RB and their number."""
    found = []
    for index in range(bursts):
        rng = random_stream(1, "waveform", *grant, mcs, index)
        burst = data_burst(*grant, mcs, blocks or max(1, grant[1] // 2), 1000 + index)
        start, cfo_hz = 1500.0 + 8.0 * rng.uniform(), MAX_CFO_HZ * rng.uniform(-0.95, 0.95)
        found.append(errors_of(burst, Impairments(snr_db, start, cfo_hz), rng, scenes(index)))
    return Errors(found[0].layout, np.mean([errors.per_subcarrier for errors in found], axis=0))


def echoes(model: str, delay_spread_s: float) -> Callable[[int], Scene]:
    """A realisation of a delay profile for each burst."""

    def scene(index: int) -> Scene:
        taps = draw_taps(random_stream(2, "waveform echoes", model, index), FadingModel(model, delay_spread_s))
        return Scene(lambda samples: apply_taps(samples, taps, DEFAULT_2MSPS.sample_rate_hz))

    return scene


def print_floor(bursts: int) -> None:
    """Error floor by size of the grant."""
    print("error floor, dB: mean (worst subcarrier)")
    print("  RBs            flat    TDL-A 0.3 us    TDL-C 0.3 us    TDL-C 1.0 us")
    channels = [echoes("tdl-a", 3e-7), echoes("tdl-c", 3e-7), echoes("tdl-c", 1e-6)]
    for grant in ((1, 1), (1, 2), (1, 3), (1, 6), (1, 7), (2, 12), (6, 16), (0, 28)):
        all_errors = [mean_errors(bursts, grant, QUIET_DB, scenes) for scenes in (lambda _: CLEAN, *channels)]
        cells = [f"{db(errors.mean):5.1f} ({db(errors.worst):5.1f})" for errors in all_errors]
        print(f"  {grant[1]:3d}   " + "   ".join(cells), flush=True)


def print_budget(bursts: int) -> None:
    """Where a burst of about 100 kbit over 16 RBs loses band, time and SNR."""
    print("16 RBs, about 100 kbit; shares kept and dB lost")
    print("  SNR  MCS            symbols   guard  prefix  carrier  training  pilots   all   estimates   floor")
    floor = mean_errors(bursts, (6, 16), QUIET_DB, blocks=12).mean
    tables = LinkTables.load().of("ldpc")
    for snr_db in (5.0, 15.0, 25.0):
        fitting = [m for m in tables.mcs_names if tables.required_snr_db(m, TARGET_BLOCK_ERROR_RATE) <= snr_db]
        scheme = max((McsTable.load()[m] for m in fitting), key=lambda m: m.bits_per_symbol * m.code_rate)
        blocks = round(BURST_BITS / (8 * scheme.block_bytes))
        errors = mean_errors(bursts, (6, 16), snr_db, mcs=scheme.name, blocks=blocks)
        layout = errors.layout
        shares = (
            16 / 17,
            DEFAULT_2MSPS.fft_size / DEFAULT_2MSPS.symbol_samples,
            len(layout.subcarriers) / 128,
            layout.data_symbols / layout.symbols,
            1.0 - float(np.mean(layout.pilot_mask())),
        )
        columns = "   ".join(f"{share:5.3f}" for share in (*shares, float(np.prod(shares))))
        floor_db = db(1.0 + floor * 10 ** (snr_db / 10))
        estimates_db = db(errors.mean) + snr_db - floor_db
        row = f"  {snr_db:3.0f}  {scheme.name:13s} {layout.symbols:7d}   {columns}"
        print(f"{row}   {estimates_db:6.3f}   {floor_db:6.3f}")


def neighbours_of(grant: tuple[int, int], other_rbs: int, density_db: float) -> Callable[[int], Scene]:
    """Two strong grants, one guard RB from the weak one on either side, their carriers 2 kHz towards it."""
    sides = ((grant[0] - 1 - other_rbs, MAX_CFO_HZ), (sum(grant) + 1, -MAX_CFO_HZ))

    def scene(index: int) -> Scene:
        rng = random_stream(3, "waveform neighbours", *grant, index)
        return Scene(neighbours=tuple(strong(rng, (start, other_rbs), density_db, cfo_hz) for start, cfo_hz in sides))

    return scene


def mirrored(grant: tuple[int, int], density_db: float) -> Callable[[int], Scene]:
    """A strong grant on the other side of the carrier, its image on the weak one; radios of the ``pluto`` preset."""
    mirror = (DEFAULT_2MSPS.rb_total - sum(grant), grant[1])

    def scene(index: int) -> Scene:
        rng = random_stream(4, "waveform image", *grant, index)
        sender, receiver = draw_phases(rng), draw_phases(rng)
        return Scene(
            neighbours=(strong(rng, mirror, density_db, MAX_CFO_HZ),),
            transmitter=lambda samples: impair_transmission(samples, PLUTO, sender, TX_PEAK_AMPLITUDE),
            receiver=lambda samples: impair_reception(samples, PLUTO, receiver, np.inf)[0],
        )

    return scene


def strong(rng: np.random.Generator, grant: tuple[int, int], density_db: float, cfo_hz: float) -> Neighbour:
    """Another client's burst that is on the air all the time of the wanted one."""
    burst = data_burst(*grant, MCS, grant[1], int(rng.integers(2**40)))
    return Neighbour(burst, random_blocks(rng, burst), density_db, float(rng.uniform(0.0, 1000.0)), cfo_hz)


def print_neighbours(bursts: int) -> None:
    """Loss of SINR at 12 dB, where 16QAM 3/4 works."""
    print("SINR that a weak grant at 12 dB loses, dB, to bursts of so much more power per RB")
    print("  weak RBs   strong RBs        20 dB    30 dB")
    for rb_count, other_rbs in ((1, 7), (3, 7), (6, 6), (7, 7), (16, 4)):
        grant = ((28 - rb_count) // 2, rb_count)
        alone = mean_errors(bursts, grant, 12.0).mean
        found = [mean_errors(bursts, grant, 12.0, neighbours_of(grant, other_rbs, d)).mean for d in (20.0, 30.0)]
        print(
            f"  {rb_count:8d}   {other_rbs} either side" + "".join(f"{db(v / alone):9.2f}" for v in found), flush=True
        )
    alone = mean_errors(bursts, (4, 6), 12.0).mean
    found = [mean_errors(bursts, (4, 6), 12.0, mirrored((4, 6), density_db)).mean for density_db in (20.0, 30.0)]
    print("         6   6, mirrored  " + "".join(f"{db(v / alone):9.2f}" for v in found))


def print_clock(bursts: int) -> None:
    """Loss over the longest burst."""
    print("dB lost over the longest burst; sample clock off by so many ppm, told within 0.2 ppm or not at all")
    print("  RBs   SNR    +50 told  -50 told  +50 untold  -50 untold")
    for rb_count, mcs, snr_db in (
        (1, "qpsk-400-short", 2.0),
        (7, "64qam-666", 15.0),
        (16, "256qam-797", 22.0),
        (28, MCS, 15.0),
    ):
        blocks = max_blocks(0, rb_count, mcs, DEFAULT_2MSPS)
        lost = []
        for told, ppm in ((True, 50.0), (True, -50.0), (False, 50.0), (False, -50.0)):
            values = []
            for index in range(max(1, bursts // 6)):
                rng = random_stream(5, "waveform clock", rb_count, str(ppm), index)
                told_ppm = ppm + float(rng.uniform(-0.2, 0.2)) if told else 0.0
                burst = data_burst(0, rb_count, mcs, blocks, 2000 + index, told_ppm)
                values.append(errors_of(burst, Impairments(snr_db, 1500.0, 1500.0, ppm), rng).mean)
            lost.append(db(float(np.mean(values))) + snr_db)
        print(f"  {rb_count:3d}  {snr_db:4.0f}    " + "   ".join(f"{value:7.2f}" for value in lost), flush=True)


PARTS = {"floor": print_floor, "budget": print_budget, "neighbours": print_neighbours, "clock": print_clock}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", type=one_of(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--bursts", type=integer(1), default=24)
    options = parser.parse_args()
    for part in options.parts or PARTS:
        PARTS[part](options.bursts)


if __name__ == "__main__":
    main()
