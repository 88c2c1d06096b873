"""Is the abstract radio the IQ radio? The same rounds over both, and what came of them beside the limits.

    OMP_NUM_THREADS=1 python -m benchmarks.abstract_validation [--rounds 40] [--seed 1] [SCENARIO ...]
    OMP_NUM_THREADS=1 python -m benchmarks.abstract_validation own-noise

Whole rounds without training (``benchmarks.parts.played_rounds``): soundings, TSFA, grants, ARQ with combining, link
adaptation, queues. ``same start``: each round over the abstract radio starts from the state in which the IQ radio's
rounds left off, so that what differs is the round's own; which blocks are lost is drawn ``DRAWS`` times, the figures
are means. Wanted: block error rate within the 95 % interval of the IQ radio's (rounds are drawn as wholes: bursts share
fades), airtime and air bits within 5 %, the same grants (RBs, place and bits of every client) in at least 90 % of the
rounds. ``on its own``: the abstract radio's rounds follow from each other. Other lost blocks then lead to other queues
and offsets, so the same grants cannot be had; shown are mean and range over the draws, none of it judged.

``own-noise`` measures what filters, carrier and clock leave beside a burst without noise.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from scipy import stats

from base_station.round import StationRound
from base_station.state import ServerState
from benchmarks.parts.arguments import integer, one_of
from benchmarks.parts.played_rounds import PlayedRounds
from protocol.bursts import Burst, DataBurst, SoundingBurst
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from protocol.random_streams import random_stream
from radio.abstract import link
from radio.modem import receive
from radio.modem.trial import Impairments, random_blocks, send
from radio.numerology import DEFAULT_2MSPS

DRAWS = 4
WITHIN, SAME_GRANTS = 0.05, 0.90
FADING_SNR_DB = (24.9, 18.8, 13.4, 8.1)
"""As in ``examples/demo.toml``."""
EDGES_SNR_DB = (3.0, 8.0, 13.0, 19.0)
"""Without fading the outer loop takes every client to the edge of its MCS."""


class Scenario(NamedTuple):
    """What differs between the scenarios."""

    channel: dict[str, Any]
    codec: str
    snr_db: tuple[float, ...]


OWN_NOISE = "own-noise"
SCENARIOS = {
    "awgn": Scenario({"model": "awgn"}, "ldpc", EDGES_SNR_DB),
    "awgn-k7": Scenario({"model": "awgn"}, "convolutional", EDGES_SNR_DB),
    "rayleigh": Scenario({"model": "rayleigh"}, "ldpc", FADING_SNR_DB),
    "tdl-a": Scenario({"model": "tdl-a", "delay_spread_s": 300e-9}, "ldpc", FADING_SNR_DB),
    "tdl-c-k7": Scenario({"model": "tdl-c", "delay_spread_s": 300e-9}, "convolutional", FADING_SNR_DB),
}


class Figures(NamedTuple):
    """Of one round."""

    bursts: int
    sent: int
    """Code blocks, retransmissions included."""
    lost: int
    airtime_s: float
    air_bits: int
    grants: dict[str, tuple[int | None, int, float]]


def experiment(name: str, driver: str, rounds: int, seed: int) -> Experiment:
    """Four clients; a budget that keeps the queues up, so that grants are weighed against time."""
    scenario = SCENARIOS[name]
    members = [{"name": f"c{i}", "mean_snr_db": snr_db} for i, snr_db in enumerate(scenario.snr_db, 1)]
    raw = {
        "experiment": {"name": name, "seed": seed, "rounds": rounds},
        "tsfa": {"V": 2.0, "latency_budget_s": 3.3},
        "radio": {"driver": driver, "codec": scenario.codec},
        "channel": scenario.channel,
        "clients": {"members": members},
    }
    return experiment_from_dict(raw, name)


def figures(played: StationRound) -> Figures:
    """What came of a round."""
    data = [b for b in played.windows.bursts if b.kind == "data"]
    return Figures(
        bursts=len(data),
        sent=sum(b.blocks for b in data),
        lost=sum(b.blocks_failed for b in data),
        airtime_s=played.windows.airtime_s,
        air_bits=sum(b.air_bits for b in data),
        grants={name: (c.rb_start, c.rb_count, c.bits) for name, c in played.granted.items()},
    )


class Played(NamedTuple):
    """All rounds of a scenario."""

    iq: list[Figures]
    same_start: list[list[Figures]]
    """By draw."""
    on_its_own: list[list[Figures]]


def play(name: str, rounds: int, seed: int, directory: Path) -> Played:
    """The rounds over the IQ radio, and over the abstract one in both ways."""
    with ExitStack() as stack:

        def lab(driver: str, place: str) -> PlayedRounds:
            played = PlayedRounds(experiment(name, driver, rounds, seed), directory / f"{name}-{place}")
            return stack.enter_context(played)

        iq = lab("simulated", "iq")
        beside = [lab("abstract", f"beside-{draw}") for draw in range(DRAWS)]
        own = [lab("abstract", f"own-{draw}") for draw in range(DRAWS)]
        state = ServerState.initial(iq.lab.experiment)
        own_state = [state for _ in own]
        result = Played([], [[] for _ in beside], [[] for _ in own])
        for _ in range(rounds):
            for draw in range(DRAWS):
                with other_block_draws(draw):
                    played, _after = beside[draw].play(ServerState.from_bytes(state.to_bytes()))
                    result.same_start[draw].append(figures(played))
                    played, own_state[draw] = own[draw].play(own_state[draw])
                    result.on_its_own[draw].append(figures(played))
            played, state = iq.play(state)
            result.iq.append(figures(played))
    return result


@contextmanager
def other_block_draws(draw: int) -> Iterator[None]:
    """Blocks arrive or not by other draws; 0: the run's own."""

    def stream(seed: int, purpose: str, *key: int | str) -> np.random.Generator:
        salted = purpose == "abstract block" and draw > 0
        return random_stream(seed, f"{purpose} {draw}" if salted else purpose, *key)

    with mock.patch.object(link, "random_stream", stream):
        yield


def interval(lost: Sequence[int], sent: Sequence[int]) -> tuple[float, float]:
    """95 % interval of a rate whose rounds are drawn as wholes (a ratio of means, linearised)."""
    losses, blocks = np.array(lost, float), np.array(sent, float)
    rate, n = losses.sum() / blocks.sum(), len(blocks)
    error = np.sqrt(n / (n - 1) * np.sum((losses - rate * blocks) ** 2)) / blocks.sum()
    reach = float(stats.t.ppf(0.975, n - 1) * error)
    return rate - reach, rate + reach


def print_scenario(name: str, played: Played) -> bool:
    """Its part of the table; whether all limits are met."""
    iq = played.iq
    low, high = interval([f.lost for f in iq], [f.sent for f in iq])
    print(
        f"{name:9s} IQ radio     {sum(f.bursts for f in iq):5d} bursts in {len(iq)} rounds, block error rate "
        f"{rate_of(iq):.4f} ({low:.4f} to {high:.4f}), airtime {total(iq).airtime_s:.2f} s, "
        f"{total(iq).air_bits / 1e6:.1f} Mbit on the air"
    )
    ours = Comparison.of([f for draw in played.same_start for f in draw], iq)
    fair = {
        f"block error rate {ours.rate:.4f}": low <= ours.rate <= high,
        f"airtime x {ours.airtime:.3f}": abs(ours.airtime - 1.0) <= WITHIN,
        f"air bits x {ours.air_bits:.3f}": abs(ours.air_bits - 1.0) <= WITHIN,
        f"same grants in {ours.same:.1%} of rounds": ours.same >= SAME_GRANTS,
    }
    print(" " * 10 + "same start   " + ", ".join(f"{text} {'ok' if good else 'MISSED'}" for text, good in fair.items()))
    own = [Comparison.of(rounds, iq) for rounds in played.on_its_own]
    print(
        f"{'':10s}on its own   block error rate {spread([c.rate for c in own], 4)}, airtime x "
        f"{spread([c.airtime for c in own], 3)}, air bits x {spread([c.air_bits for c in own], 3)}, same grants in "
        f"{np.mean([c.same for c in own]):.1%}",
        flush=True,
    )
    return all(fair.values())


class Comparison(NamedTuple):
    """Rounds over the abstract radio beside those over the IQ radio."""

    rate: float
    """Share of blocks lost."""
    airtime: float
    """A round's, over the IQ radio's; as is ``air_bits``."""
    air_bits: float
    same: float
    """Share of rounds with the same grants."""

    @staticmethod
    def of(rounds: Sequence[Figures], iq: Sequence[Figures]) -> Comparison:
        """``rounds``: once or several times as many as of ``iq``."""
        times, ours, theirs = len(rounds) // len(iq), total(rounds), total(iq)
        return Comparison(
            rate=rate_of(rounds),
            airtime=ours.airtime_s / times / theirs.airtime_s,
            air_bits=ours.air_bits / times / theirs.air_bits,
            same=float(np.mean([f.grants == iq[i % len(iq)].grants for i, f in enumerate(rounds)])),
        )


class Total(NamedTuple):
    """Of many rounds."""

    airtime_s: float
    air_bits: int


def total(rounds: Sequence[Figures]) -> Total:
    """Sums."""
    return Total(sum(f.airtime_s for f in rounds), sum(f.air_bits for f in rounds))


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, least and greatest."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rate_of(rounds: Sequence[Figures]) -> float:
    """Share of blocks lost."""
    return sum(f.lost for f in rounds) / sum(f.sent for f in rounds)


def print_own_noise() -> None:
    """Error vectors at 60 dB of SNR: of soundings as 1 over the SINR they show, of data bursts as reported."""

    def sounding(rng: np.random.Generator, clock_ppm: float) -> Burst:
        return SoundingBurst("a", int(rng.integers(2**62)), 0, DEFAULT_2MSPS.rb_total)

    def data(rng: np.random.Generator, clock_ppm: float) -> Burst:
        ids = list(range(4))
        return DataBurst("a", int(rng.integers(2**62)), 8, 7, "16qam-490", ids, clock_offset_ppm=clock_ppm)

    kinds: dict[str, tuple[Callable[[np.random.Generator, float], Burst], float]] = {
        "sounding": (sounding, 100.0), "data": (data, 100.0),
    }  # fmt: skip
    for kind, (make, most_cfo_hz) in kinds.items():
        rng, error = random_stream(1, "own noise", kind), []
        for _ in range(20):
            clock_ppm, cfo_hz = float(rng.uniform(-20.0, 20.0)), float(rng.uniform(-most_cfo_hz, most_cfo_hz))
            burst = make(rng, clock_ppm)
            impairments = Impairments(60.0, float(rng.uniform(1100.0, 3000.0)), cfo_hz, clock_ppm)
            samples = send(rng, burst, random_blocks(rng, burst), impairments, DEFAULT_2MSPS)
            error.append(receive(burst, samples, DEFAULT_2MSPS).evm_db)
        print(f"{kind:9s} error vector {np.mean(error):.1f} dB (mean of {len(error)}, {np.std(error):.1f} dB)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "scenario", nargs="*", type=one_of([*SCENARIOS, OWN_NOISE]), default=list(SCENARIOS),
        help=f"{', '.join(SCENARIOS)}; or {OWN_NOISE} alone",
    )  # fmt: skip
    parser.add_argument("--rounds", type=integer(1), default=40)
    parser.add_argument("--seed", type=integer(0), default=1)
    options = parser.parse_args(arguments)
    if OWN_NOISE in options.scenario and len(options.scenario) > 1:
        parser.error(f"{OWN_NOISE} stands alone")
    if options.scenario == [OWN_NOISE]:
        print_own_noise()
        return 0
    met = True
    with tempfile.TemporaryDirectory() as directory:
        for name in options.scenario:
            met = print_scenario(name, play(name, options.rounds, options.seed, Path(directory))) and met
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
