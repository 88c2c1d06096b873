"""What power control does: received power held together, transmit energy saved, and what that costs in goodput.

    OMP_NUM_THREADS=1 python -m benchmarks.power_control [--rounds 2] [--fragments 12]

Whole rounds over the simulated radio (GNU Radio flowgraphs), four clients in equal shares of the band, with power
control as in docs/design.md and with every client at full power (up to the power density cap). Received power per RB is
what the receiver measured in the data bursts.

* ``unequal``: reference SNRs of 45, 32, 18 and 5 dB. The spread must stay within 20 dB.
* ``strong``: 48, 45, 42 and 39 dB, all beyond the top MCS's need. The energy saved must not cost goodput.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np

from benchmarks.parts.arguments import integer
from benchmarks.parts.radio_rounds import PlayedRound, RadioRounds, equal_shares
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict

LIMIT_DB = 20.0
SCENES = {"unequal": (45.0, 32.0, 18.0, 5.0), "strong": (48.0, 45.0, 42.0, 39.0)}


def power_experiment(snr_db: tuple[float, ...], spread_db: float) -> Experiment:
    """Clients at these reference SNRs over flat channels without fading."""
    members = [{"name": f"c{i + 1}", "mean_snr_db": value} for i, value in enumerate(snr_db)]
    raw = {
        "experiment": {"name": "power-control", "seed": 3},
        "radio": {"max_power_spread_db": spread_db},
        "channel": {"model": "awgn"},
        "clients": {"members": members},
    }
    return experiment_from_dict(raw, "power control")


def play(snr_db: tuple[float, ...], rounds: int, fragments: int, controlled: bool) -> list[PlayedRound]:
    """Rounds with power control, or with every client at full power."""
    experiment = power_experiment(snr_db, LIMIT_DB if controlled else 1e3)
    with RadioRounds(experiment) as lab:
        shares = equal_shares(experiment, lab.lab.numerology.rb_total)
        if controlled:
            return [lab.play(fragments, shares) for _ in range(rounds)]
        with mock.patch("radio.adaptation.power_backoff_db", return_value=0.0):
            return [lab.play(fragments, shares) for _ in range(rounds)]


def print_rounds(title: str, rounds: list[PlayedRound], snr_db: tuple[float, ...]) -> tuple[float, float, float]:
    """A line per client; returns the largest spread of received power, the energy and the goodput."""
    spreads = [max(psd.values()) - min(psd.values()) for r in rounds for psd in r.received_psd_db() if len(psd) > 1]
    last = rounds[-1].link
    print(f"{title}: largest spread of received power per RB {max(spreads):.1f} dB")
    for name, reference_db in zip(last.grants, snr_db, strict=True):
        grants = [r.link.grants[name] for r in rounds]
        energy_j = sum(r.data_energy_j(name) for r in rounds)
        sent, failed = sum(g.arq.blocks_sent for g in grants), sum(g.arq.blocks_failed for g in grants)
        print(
            f"  {name} {reference_db:4.0f} dB: RBs {grants[-1].rb_start:2d}+{grants[-1].rb_count} "
            f"{grants[-1].last_mcs:12s} power {grants[-1].tx_gain_db:6.1f} dB (backoff {grants[-1].backoff_db:4.1f}) "
            f" air {sum(g.air_samples for g in grants) / 2e3:6.1f} ms  {1e3 * energy_j:7.4f} mJ  "
            f"blocks lost {failed}/{sent}"
        )
    energy_j = sum(r.data_energy_j(name) for r in rounds for name in r.link.grants)
    return max(spreads), energy_j, float(np.mean([r.goodput_bps for r in rounds]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=integer(1), default=2)
    parser.add_argument("--fragments", type=integer(1), default=12, help="fragments of 2,006 bytes per update")
    options = parser.parse_args()
    for scene, snr_db in SCENES.items():
        found = {}
        for title, controlled in (("power control", True), ("full power", False)):
            rounds = play(snr_db, options.rounds, options.fragments, controlled)
            found[title] = print_rounds(f"{scene}, {title}", rounds, snr_db)
        spread_db, energy_j, goodput_bps = found["power control"]
        _, full_j, full_bps = found["full power"]
        verdict = "ok" if spread_db <= LIMIT_DB else "MISSED"
        print(
            f"{scene}: spread {spread_db:.1f} dB (at most {LIMIT_DB:g}: {verdict}), transmit energy "
            f"{energy_j / full_j:.4f} of full power's, goodput {goodput_bps / full_bps:.3f} of full power's\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
