"""How far calibrations of virtual Plutos are from the truth, beside what they say of themselves.

    OMP_NUM_THREADS=1 python -m benchmarks.calibration [--labs 20] [--seed 1] [--carrier-hz 2.4e9]

Each lab is drawn: crystals within 25 ppm, noise figures of 3 to 8 dB, gain errors of up to 1.5 dB at settings 15 to 19
dB apart with straight lines between (none of them where gains are measured), full scales within 2 dB of nominal, a
cable whose attenuation is known with 0.3 dB standard deviation, and a transmit power known with 0.2 dB. Then
calibrated, and used on a path of other loss at gains between the steps.
``spread``: RMS of error over stated uncertainty; 1 is honest, below is cautious. Time moves as samples are read, so
nothing depends on the machine.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from contextlib import ExitStack

import numpy as np

from benchmarks.parts.arguments import integer, positive_number
from calibration import bench
from calibration.carrier import step_hz
from calibration.procedure import Outcome, Plan, calibrate
from protocol.random_streams import random_stream
from radio.calibration_file import channel_gain_db
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Limits
from radio.quantity import Quantity
from radio.virtual.control_messages import SetLink
from radio.virtual.front_end import gain_error_db
from radio.virtual.testbed import VirtualPlutos, virtual_plutos

CABLE_DB, CABLE_UNCERTAINTY_DB = 50.0, 0.3
POWER_UNCERTAINTY_DB = 0.2
TRANSMIT_DB, RECEIVE_REFERENCE_DB = -20.0, 40.0
RATE_HZ = 2e6
WANTED = {"carrier left beyond half a step, Hz": 5.0, "gain steps, dB": 0.5, "channel gain, dB": 0.5,
          "noise figure, dB": 1.0}  # fmt: skip
"""Largest error wanted; the channel gain's is beyond what the cable's attenuation is unsure of."""

Errors = dict[str, list[tuple[float, float]]]
"""By figure: error and stated uncertainty."""


def draw_lab(rng: np.random.Generator) -> list[dict[str, object]]:
    """Tables of a base station's and a client's radio."""

    def errors_db(settings: list[float]) -> list[list[float]]:
        return [[setting, float(rng.uniform(-1.5, 1.5))] for setting in settings]

    return [
        {
            "name": "bs", "crystal_ppm": float(rng.uniform(-25, 25)), "noise_figure_db": float(rng.uniform(3, 8)),
            "receive_full_scale_dbm": float(rng.uniform(-2, 2)),
            "receive_gain_errors_db": errors_db([0.0, 17.0, 36.0, 55.0, 71.0]),
        },
        {
            "name": "client", "crystal_ppm": float(rng.uniform(-25, 25)),
            "transmit_full_scale_dbm": float(rng.uniform(5, 9)),
            "transmit_gain_errors_db": errors_db([-62.0, -45.0, -26.0, -7.0]),
        },
    ]  # fmt: skip


def measure(seed: int, carrier_hz: float, errors: Errors) -> None:
    """Draw a lab, calibrate it, use it; add to ``errors``."""
    rng = random_stream(seed, "calibration benchmark")
    station_table, client_table = tables = draw_lab(rng)
    told_cable_db = CABLE_DB + float(rng.normal(0.0, CABLE_UNCERTAINTY_DB))
    true_power = client_table["transmit_full_scale_dbm"] + gain_error_db(
        client_table["transmit_gain_errors_db"], TRANSMIT_DB
    )
    told_power = Quantity(true_power + float(rng.normal(0.0, POWER_UNCERTAINTY_DB)), POWER_UNCERTAINTY_DB)
    plan = Plan(
        carrier_hz,
        RATE_HZ,
        TRANSMIT_DB,
        RECEIVE_REFERENCE_DB,
        Quantity(told_cable_db, CABLE_UNCERTAINTY_DB),
        told_power,
    )
    with ExitStack() as stack:
        medium = {"medium": {"loss_db": CABLE_DB, "seed": seed}, "radio": tables}
        plutos = stack.enter_context(virtual_plutos(["bs", "client"], medium, on_demand=True))
        limits = Limits(max_transmit_gain_db=TRANSMIT_DB)
        station, client = (stack.enter_context(Pluto(plutos.uri(name), limits)) for name in plutos.servers)
        outcome = calibrate(station, {"client": client}, plan, lambda _: None)
        _judge_carrier(plutos, outcome, carrier_hz, errors)
        _judge_gains(outcome, tables, errors)
        figure = outcome.station.receiver.noise_figure_db
        errors["noise figure, dB"].append((figure.value - station_table["noise_figure_db"], figure.uncertainty))
        for _ in range(3):
            _judge_channel(plutos, station, client, outcome, rng, told_cable_db - CABLE_DB, errors)


def _judge_carrier(plutos: VirtualPlutos, outcome: Outcome, carrier_hz: float, errors: Errors) -> None:
    factors = [plutos.server(n).radio.front_end.clock_factor(plutos.engine.time_s()) for n in ("client", "bs")]
    left_hz = carrier_hz * (factors[0] / factors[1] - 1.0)
    left = outcome.clients[0].crystal.left_ppm
    beyond_hz = max(0.0, abs(left_hz) - 0.5 * step_hz(carrier_hz, 40_000_000))
    errors["carrier left beyond half a step, Hz"].append((beyond_hz, np.nan))
    error_hz = 1e-6 * carrier_hz * left.value - left_hz
    errors["carrier as measured, Hz"].append((error_hz, 1e-6 * carrier_hz * left.uncertainty))


def _judge_gains(outcome: Outcome, tables: list[dict[str, object]], errors: Errors) -> None:
    sides = (
        (outcome.station.receiver.gains, tables[0]["receive_gain_errors_db"], RECEIVE_REFERENCE_DB),
        (outcome.clients[0].transmitter.gains, tables[1]["transmit_gain_errors_db"], TRANSMIT_DB),
    )
    for gains, true_errors_db, reference_db in sides:
        for gain in gains:
            if gain.setting_db == reference_db:
                continue
            truth = gain_error_db(true_errors_db, gain.setting_db) - gain_error_db(true_errors_db, reference_db)
            error_db = gain.gain_db.value - gain.setting_db - truth
            errors["gain steps, dB"].append((error_db, gain.gain_db.uncertainty))


def _judge_channel(
    plutos: VirtualPlutos, station: Pluto, client: Pluto, outcome: Outcome, rng: np.random.Generator,
    told_wrong_db: float, errors: Errors,
) -> None:  # fmt: skip
    """A path of another loss, at gains that put the tone between -35 and -15 dB over full scale."""
    transmit_db = -0.25 * round(4 * float(rng.uniform(20.0, 55.0)))
    receive_db = float(round(rng.uniform(35.0, 70.0)))
    loss_db = 7.0 - 6.0 + transmit_db + receive_db + float(rng.uniform(15.0, 35.0))
    plutos.control(SetLink(between=["bs", "client"], loss_db=loss_db))
    bench.start_tone(client, transmit_db)
    tone = bench.hear_tone(station, receive_db)
    client.stop_transmitting()
    if tone is None:
        return
    gain = channel_gain_db(bench.level_over_sent(tone), outcome.clients[0], transmit_db, outcome.station, receive_db)
    # The cable was told wrongly by so much, and the gain is wrong by the same.
    errors["channel gain, dB"].append((gain.value + loss_db + told_wrong_db, np.nan))
    errors["channel gain with the cable's, dB"].append((gain.value + loss_db, gain.uncertainty))


def main() -> None:
    """Run all labs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labs", type=integer(1), default=20, help="labs that are drawn (20)")
    parser.add_argument("--seed", type=integer(0), default=1, help="of the first (1)")
    parser.add_argument("--carrier-hz", type=positive_number, default=2.4e9, help="carrier (2.4e9)")
    args = parser.parse_args()
    errors: Errors = defaultdict(list)
    began = time.perf_counter()
    for seed in itertools.islice(itertools.count(args.seed), args.labs):
        measure(seed, args.carrier_hz, errors)
    print(f"{args.labs} labs, carrier {args.carrier_hz / 1e6:g} MHz, {time.perf_counter() - began:.0f} s")
    print(f"{'':38} values      RMS   largest   wanted   spread")
    for name, pairs in errors.items():
        error, uncertainty = np.array(pairs).T
        spread = np.sqrt(np.mean((error / uncertainty) ** 2))
        shown = "" if np.isnan(spread) else f"{spread:8.2f}"
        wanted = f"{WANTED[name]:8.1f}" if name in WANTED else " " * 8
        rms, largest = np.sqrt(np.mean(error**2)), np.max(np.abs(error))
        print(f"{name:38} {len(pairs):6d} {rms:8.3f}  {largest:8.3f} {wanted} {shown}")


if __name__ == "__main__":
    main()
