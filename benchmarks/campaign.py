"""Campaigns against the channel that was measured: python -m benchmarks.campaign [--seeds 6] [--sweeps 150].

Every campaign goes through the radio without samples (abstract). `estimates`: one client, sweeps one second apart. Of
every figure its truth, mean and root mean square error over seeds, and `stated`: the error over the uncertainty that
the campaign itself states, root mean square (1: as large as stated). Delay spreads of the mean profile, K linear.
`replay`: three clients over TDL-A; TSFA decides each round on the channel itself and on the campaign's replay. `same`:
grants alike to the bit; `cost`: what the replay's grants cost more on the channel itself, mean and worst round.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from base_station.planning.channels import draw_rounds
from base_station.tsfa.problem import Allocation, ClientInstance, Instance
from base_station.tsfa.solver import solve
from benchmarks.parts.arguments import integer
from calibration.campaign.estimates import sounding_grid
from calibration.campaign.journal import Journal
from calibration.campaign.path_loss import path_loss
from calibration.campaign.plan import CampaignPlan, CampaignTable
from calibration.campaign.records import Sounding
from calibration.campaign.replay import make_replay
from calibration.campaign.run import run_campaign
from calibration.campaign.series import link_series
from calibration.campaign.summary import LinkSummary, link_summary
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from radio.numerology import DEFAULT_2MSPS
from radio.quantity import Quantity

GRID = sounding_grid(DEFAULT_2MSPS)
CHANNELS: dict[str, dict[str, Any]] = {
    "rayleigh": {"model": "rayleigh"},
    "rician 6 dB": {"model": "rician", "rician_k_db": 6.0},
    "TDL-A 300 ns": {"model": "tdl-a"},
    "TDL-B 300 ns": {"model": "tdl-b"},
    "TDL-C 300 ns": {"model": "tdl-c"},
    "TDL-A, 0.1 Hz": {"model": "tdl-a", "doppler_hz": 0.1},
}
DISTANCE_M = 10.0
PLACES_M = (6.0, 13.0, 28.0)
BIT_STEP = 7_500
"""Between two points of the error curve on which replays are compared."""


class Found(NamedTuple):
    """An estimate and what it should be."""

    figure: str
    estimate: Quantity | None
    truth: float


def plan_of(seed: int, sweeps: int, channel: dict[str, Any], distances_m: tuple[float, ...]) -> CampaignPlan:
    """A campaign of so many sweeps a second apart."""
    members = [{"name": f"c{i}", "distance_m": distance_m} for i, distance_m in enumerate(distances_m)]
    tables = {
        "experiment": {"name": "bench", "seed": seed}, "radio": {"driver": "abstract"}, "channel": channel,
        "clients": {"members": members},
    }  # fmt: skip
    return CampaignPlan(CampaignTable(interval_s=1.0, duration_s=float(sweeps)), experiment_from_dict(tables, "bench"))


def measured(plan: CampaignPlan) -> list[Sounding]:
    """All soundings of a plan."""
    with tempfile.TemporaryDirectory() as directory, Journal.create(Path(directory) / "c", plan) as journal:
        run_campaign(journal)
        return journal.soundings


def found_in(summary: LinkSummary, experiment: Experiment) -> Iterator[Found]:
    """What there is to find in a link's summary."""
    channel = experiment.channel
    loss_db = channel.path_loss_1m_db + 10.0 * channel.path_loss_exponent * np.log10(DISTANCE_M)
    yield Found("gain, dB", summary.gain_db, -loss_db)
    if channel.model in ("rayleigh", "rician"):
        yield Found("K", summary.k_factor, 10.0 ** (channel.rician_k_db / 10.0) if channel.model == "rician" else 0.0)
    else:
        spread = summary.delay_spread_s
        yield Found("delay spread, ns", spread.times(1e9) if spread else None, 1e9 * channel.delay_spread_s)
    if channel.doppler_hz:
        yield Found("Doppler, Hz", summary.doppler_hz, channel.doppler_hz)


def estimates(seeds: int, sweeps: int) -> None:
    """Print a line per channel and figure."""
    print(f"{'channel':15s} {'figure':18s} {'truth':>8s} {'mean':>8s} {'rms error':>10s} {'stated':>7s} {'found':>6s}")
    for name, channel in CHANNELS.items():
        found: dict[str, list[Found]] = {}
        for seed in range(seeds):
            plan = plan_of(seed, sweeps, channel, (DISTANCE_M,))
            series = link_series(plan.links[0], measured(plan), GRID)
            assert series is not None
            for one in found_in(link_summary(series, GRID), plan.experiment):
                found.setdefault(one.figure, []).append(one)
        for figure, every in found.items():
            print_figure(name, figure, every)
    fits = [path_loss(measured(plan_of(seed, sweeps // 3, {"model": "tdl-a"}, PLACES_M))) for seed in range(seeds)]
    exponents = [Found("exponent", fit.exponent if fit else None, 3.5) for fit in fits]
    print_figure("3 places", "exponent", exponents)


def print_figure(channel: str, figure: str, every: list[Found]) -> None:
    """One line of the table."""
    told = [(one.estimate, one.truth) for one in every if one.estimate is not None]
    values = np.array([quantity.value for quantity, _ in told])
    errors = np.array([quantity.value - truth for quantity, truth in told])
    stated = errors / np.array([quantity.uncertainty for quantity, _ in told])
    rms, over = np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(stated**2))
    print(f"{channel:15s} {figure:18s} {every[0].truth:8.3f} {values.mean():8.3f} {rms:10.3f} {over:7.2f} "
          f"{len(told):3d}/{len(every)}")  # fmt: skip


def decisions(experiment: Experiment, rounds: int) -> list[tuple[Instance, Allocation]]:
    """TSFA's problem and answer of each round, on one falling error curve."""
    names = [member.name for member in experiment.clients.members]
    curve = [(bits, float(np.exp(-bits / 60_000))) for bits in range(0, 240_001, BIT_STEP)]
    problems = [
        Instance(
            rb_total=28, guard_rb=1, V=1.0, latency_model="per-client", queue_s=0.0, deadline_s=15.0,
            clients=[
                ClientInstance(
                    name=name, weight=1.0 / len(names), queue_s=1.5, compute_s=0.5, overhead_s=0.0, curve=curve,
                    rate_bps_at=drawn.rates[name].rows() if name in drawn.rates else [],
                ) for name in names
            ],
        ) for drawn in draw_rounds(experiment, rounds, first=1)
    ]  # fmt: skip
    return [(problem, solve(problem)) for problem in problems]


def cost(problem: Instance, answer: Allocation) -> float:
    """Objective of an answer's grants under a problem's rates."""
    total = 0.0
    for client, grant in zip(problem.clients, answer.clients, strict=True):
        rows = client.rate_bps_at or []
        rate = rows[grant.rb_count - 1][grant.rb_start] if grant.bits and rows else 1.0
        energy = next(energy for bits, energy in client.curve if bits == grant.bits)
        total += problem.V * client.weight * energy + client.queue_s * (client.compute_s + grant.bits / max(rate, 1.0))
    return total


def replay(seeds: int, sweeps: int) -> None:
    """Print how alike decisions are."""
    same, excess = [], []
    for seed in range(seeds):
        plan = plan_of(seed, sweeps, {"model": "tdl-a"}, PLACES_M)
        content = make_replay(plan, measured(plan), "base-station").content
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            Path(file.name).write_bytes(msgspec.json.encode(content))
            channel = msgspec.structs.replace(plan.experiment.channel, model="replay", replay_file=file.name)
            replayed = decisions(msgspec.structs.replace(plan.experiment, channel=channel), sweeps)
        for (problem, ours), (_, theirs) in zip(decisions(plan.experiment, sweeps), replayed, strict=True):
            same += [a.bits == b.bits for a, b in zip(ours.clients, theirs.clients, strict=True)]
            excess.append(cost(problem, theirs) / cost(problem, ours) - 1.0)
    print(f"replay: {seeds} x {sweeps} rounds, same {np.mean(same):.1%}, cost {np.mean(excess):+.4%}, "
          f"worst round {np.max(excess):+.3%}")  # fmt: skip


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=integer(1), default=6)
    parser.add_argument("--sweeps", type=integer(3), default=150)
    args = parser.parse_args()
    estimates(args.seeds, args.sweeps)
    replay(args.seeds, args.sweeps // 3)


if __name__ == "__main__":
    main()
