"""Outer-loop link adaptation over the whole modem: does the block error rate meet its target, and what is it worth?

    OMP_NUM_THREADS=1 python -m benchmarks.link_adaptation [--codec ldpc] [--seeds 5] [--bursts 200] [CHANNEL ...]

A client's rounds, one after the other: silent window, sounding, one data burst, each through ``radio.modem.trial`` with
random timing, carrier and clock offset. The MCS follows from the measured SINR and the client's offset. After 50
bursts of warm-up the share of lost blocks must lie within 0.08 and 0.12 (mean of the seeds). Goodput is compared with
a genie, who knows the channel and takes the MCS of highest expected goodput by the link tables, and with the MCS that
would have been best for all rounds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from base_station.channel import ChannelMeasurement, measurement_from_sounding
from benchmarks.parts.arguments import integer, one_of
from protocol.bursts import DataBurst, SoundingBurst
from protocol.random_streams import random_stream
from radio.adaptation import GrantLink, LinkState, after_silence
from radio.channel.fading import FadingModel, Taps, apply_taps, draw_moving_taps, draw_taps, frequency_response
from radio.link_tables import LinkTables
from radio.modem import McsTable, receive
from radio.modem.spectrum import measure_silence
from radio.modem.trial import Impairments, Scene, noise_power, random_blocks, send, white_noise
from radio.numerology import DEFAULT_2MSPS
from radio.rates import Grants, LinkRule, choose_mcs, expected_goodput_bps, lossless_bps
from radio.soundings import SILENT_WINDOW_SAMPLES

LOW, HIGH = 0.08, 0.12
TARGET = 0.10
INITIAL_DB = 1.0
WARM_UP = 50
RB_START, RB_COUNT = 11, 6
ROUND_S = 5.0
BLOCKS = {"ldpc": 2, "ldpc-short": 6, "convolutional": 6}


class Channel(NamedTuple):
    """What a client's rounds are like."""

    model: FadingModel
    mean_snr_db: float
    """Per RB at full power over the full band; the grant gathers it on few RBs."""
    doppler_hz: float | None = None
    """None: rounds are independent."""


CHANNELS = {
    "rayleigh": Channel(FadingModel("rayleigh", minimum_fade_db=-20.0), 7.0),
    "tdl-a": Channel(FadingModel("tdl-a", 300e-9), 7.0, doppler_hz=0.02),
    "tdl-c": Channel(FadingModel("tdl-c", 800e-9), 7.0),
    "awgn": Channel(FadingModel("awgn"), 7.0),
}


@dataclass
class Client:
    """One client and its rounds."""

    channel: Channel
    rule: LinkRule
    seed: int
    state: LinkState = field(default_factory=lambda: LinkState(INITIAL_DB))
    rounds: int = 0
    blocks: int = 0
    lost: int = 0
    goodput_bps: list[float] = field(default_factory=list)
    expected_bps: list[np.ndarray] = field(default_factory=list)
    """By round: what every MCS would have brought on the true channel."""
    sinr_error_db: list[float] = field(default_factory=list)

    def play(self) -> None:
        """One round."""
        self.rounds += 1
        rng = random_stream(self.seed, "link adaptation", self.channel.model.name, self.rounds)
        taps = self._taps(rng)
        clock_ppm = float(rng.uniform(-25.0, 25.0))
        measured = self._sound(rng, taps, clock_ppm)
        truth = self._grant(self._true_sinr_db(taps))
        self.expected_bps.append(expected_goodput_bps(self.rule, truth)[0][:, 0])
        self.goodput_bps.append(0.0)
        if measured is None:
            return
        grant = self._grant(measured.sinr_db_within(RB_START, RB_COUNT))
        self.sinr_error_db.append(grant.effective_snr_db(4)[0] - truth.effective_snr_db(4)[0])
        if choose_mcs(self.rule, grant, self.state.offset_db) is None:
            self.state = after_silence(self.state, TARGET, INITIAL_DB)
            return
        link = GrantLink(self.rule, self.state, grant, INITIAL_DB)
        self._send(rng, taps, clock_ppm, link)
        self.state = link.state

    def _taps(self, rng: np.random.Generator) -> Taps:
        model, doppler_hz = self.channel.model, self.channel.doppler_hz
        if doppler_hz is None:
            return draw_taps(rng, model)
        waves = random_stream(self.seed, "link adaptation waves", model.name)
        return draw_moving_taps(waves, model, doppler_hz, ROUND_S * self.rounds)

    def _sound(self, rng: np.random.Generator, taps: Taps, clock_ppm: float) -> ChannelMeasurement | None:
        numerology, snr_db = DEFAULT_2MSPS, self.channel.mean_snr_db
        burst = SoundingBurst("a", int(rng.integers(2**62)), 0, numerology.rb_total)
        silence = white_noise(rng, SILENT_WINDOW_SAMPLES, noise_power(burst, snr_db, numerology))
        noise_db, _ = measure_silence(silence, numerology)
        impairments = _impairments(rng, snr_db, 9e3, clock_ppm)
        report = receive(burst, send(rng, burst, [], impairments, numerology, _scene(taps)), numerology)
        return measurement_from_sounding(burst, report, 0, noise_db, numerology) if report.detected else None

    def _send(self, rng: np.random.Generator, taps: Taps, clock_ppm: float, link: GrantLink) -> None:
        mcs, numerology = link.mcs, DEFAULT_2MSPS
        count = BLOCKS[McsTable.load()[mcs].codec]
        burst = DataBurst(
            client="a",
            burst_id=int(rng.integers(2**62)),
            rb_start=RB_START,
            rb_count=RB_COUNT,
            mcs=mcs,
            block_ids=list(range(count)),
            clock_offset_ppm=clock_ppm + float(rng.uniform(-0.2, 0.2)),
        )
        blocks = random_blocks(rng, burst)
        snr_db = self.channel.mean_snr_db + _gathered_db() - link.backoff_db
        impairments = _impairments(rng, snr_db, 1.9e3, clock_ppm)
        report = receive(burst, send(rng, burst, blocks, impairments, numerology, _scene(taps)), numerology)
        lost = sum(got != sent for got, sent in zip(report.blocks, blocks, strict=True))
        self.blocks, self.lost = self.blocks + count, self.lost + lost
        lossless = lossless_bps(self.rule, link.grant)[self.rule.tables.mcs_names.index(mcs), 0]
        self.goodput_bps[-1] = float(lossless) * (1.0 - lost / count)
        link.burst_done(count, lost, first=True, detected=report.detected)

    def _true_sinr_db(self, taps: Taps) -> np.ndarray:
        numerology = DEFAULT_2MSPS
        places = numerology.centre_subcarrier(RB_START, RB_COUNT) - 4 * RB_COUNT + np.arange(8 * RB_COUNT)
        response = frequency_response(taps, places * numerology.subcarrier_spacing_hz)
        return self.channel.mean_snr_db + 20.0 * np.log10(np.abs(response))

    @staticmethod
    def _grant(reference_db: np.ndarray | list[float]) -> Grants:
        return Grants.one(RB_START, RB_COUNT, np.asarray(reference_db)).at(_gathered_db())


def _gathered_db() -> float:
    return float(10.0 * np.log10(DEFAULT_2MSPS.rb_total / RB_COUNT))


def _scene(taps: Taps) -> Scene:
    return Scene(fading=lambda samples: apply_taps(samples, taps, DEFAULT_2MSPS.sample_rate_hz))


def _impairments(rng: np.random.Generator, snr_db: float, max_cfo_hz: float, clock_ppm: float) -> Impairments:
    start, cfo_hz = float(rng.uniform(1100.0, 3000.0)), float(rng.uniform(-max_cfo_hz, max_cfo_hz))
    return Impairments(snr_db=snr_db, start=start, cfo_hz=cfo_hz, clock_ppm=clock_ppm)


def print_channel(name: str, codec: str, seeds: int, bursts: int) -> None:
    """One line of the table."""
    rule = LinkRule(LinkTables.load().of(codec), DEFAULT_2MSPS, TARGET)
    clients = [Client(CHANNELS[name], rule, seed) for seed in range(1, seeds + 1)]
    for client in clients:
        for _ in range(WARM_UP):
            client.play()
        client.blocks = client.lost = 0
        client.goodput_bps, client.expected_bps = [], []
        for _ in range(bursts):
            client.play()
    rates = [client.lost / client.blocks for client in clients]
    expected_bps = np.array([values for client in clients for values in client.expected_bps])
    genie_bps = float(np.mean(expected_bps.max(axis=1)))
    achieved = float(np.mean([client.goodput_bps for client in clients])) / genie_bps
    fixed_bps = expected_bps.mean(axis=0)
    best = rule.tables.mcs_names[int(fixed_bps.argmax())]
    error_db = np.concatenate([client.sinr_error_db for client in clients])
    verdict = "ok" if LOW <= np.mean(rates) <= HIGH else "MISSED"
    print(
        f"{codec:13s} {name:9s} block error rate {np.mean(rates):.4f} (seeds {min(rates):.3f}..{max(rates):.3f}; "
        f"wanted {LOW}..{HIGH}: {verdict})  of the genie's goodput {achieved:.3f}, best fixed ({best}) "
        f"{fixed_bps.max() / genie_bps:.3f}  SINR error {np.mean(error_db):+.2f} +- {np.std(error_db):.2f} dB",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "channel", nargs="*", type=one_of(CHANNELS), default=["rayleigh", "tdl-a"], help=", ".join(CHANNELS)
    )
    parser.add_argument("--codec", default="ldpc", choices=list(BLOCKS))
    parser.add_argument("--seeds", type=integer(1), default=5)
    parser.add_argument("--bursts", type=integer(1), default=200)
    options = parser.parse_args()
    for name in options.channel:
        print_channel(name, options.codec, options.seeds, options.bursts)


if __name__ == "__main__":
    main()
