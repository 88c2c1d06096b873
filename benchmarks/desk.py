"""Radios on a desk: how long windows take, how late bursts come, what is lost. On virtual Plutos in wall-clock time.

    OMP_NUM_THREADS=1 python -m benchmarks.desk [--driver pluto] [--clients 2] [--windows 40] [--snr-db 20]

Windows with one sounding, then windows with a data burst of every client at once, through base station and client
radios as a run uses them; the Plutos are ``airtune virtual-pluto`` in a process of its own. window: wall-clock time
from before arming to the report, median and longest. found: bursts detected. blocks: of data bursts, delivered at the
first try. The limit is --driver simulated: the same windows over the simulated medium, which waits for nobody.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.parts.arguments import integer
from protocol.bursts import Burst, DataBurst, SoundingBurst, Window, WindowReport
from protocol.configuration import HARDWARE_DRIVERS, Experiment
from protocol.experiment_file import experiment_from_dict
from radio.channel.levels import THERMAL_NOISE_DBM_HZ
from radio.drivers import open_base_station_radio, open_client_radio
from radio.interface import BaseStationRadio, ClientRadio
from radio.limits import window_samples
from radio.modem import BLOCK_FORMATS, burst_air_samples
from radio.numerology import DEFAULT_2MSPS
from radio.virtual.testbed import free_addresses

MCS, BLOCKS = "16qam-658", 16
NOISE_FIGURE_DB, TRANSMIT_GAIN_DB = 4.0, -20.0
FULL_POWER_DBM = 7.0 + TRANSMIT_GAIN_DB - 13.0
TIMEOUT_S = 60.0


class Desk:
    """All radios of an experiment, and windows between them."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._indices = itertools.count()
        self.station: BaseStationRadio = open_base_station_radio(experiment)
        address = self.station.radio_address
        self.clients: dict[str, ClientRadio] = {
            m.name: open_client_radio(m.name, experiment, address) for m in experiment.clients.members
        }

    def hear(self, bursts: Sequence[Burst], blocks: Sequence[Sequence[bytes]]) -> tuple[WindowReport, float]:
        """One window; its report and how long it took, s."""
        air = max(burst_air_samples(burst, DEFAULT_2MSPS) for burst in bursts)
        n_samples = window_samples(air, self.experiment.radio.jitter_samples)
        kind = "data" if isinstance(bursts[0], DataBurst) else "sounding"
        window = Window("bench", 1, next(self._indices), kind, -(-n_samples // 8) * 8)
        began = time.perf_counter()
        self.station.arm(window, bursts)
        with ThreadPoolExecutor(len(bursts)) as pool:
            list(pool.map(lambda b, c: self.clients[b.client].transmit(window, b, c), bursts, blocks))
        return self.station.collect(TIMEOUT_S), time.perf_counter() - began

    def close(self) -> None:
        """End every process."""
        for client in self.clients.values():
            client.close()
        self.station.close()


@contextmanager
def desk_of(driver: str, clients: int, snr_db: float) -> Iterator[Desk]:
    """Radios at this reference SNR, and virtual Plutos for drivers that need them."""
    names = [f"c{i}" for i in range(clients)]
    raw: dict[str, Any] = {
        "experiment": {"name": "desk"},
        "radio": {"driver": driver, "receive_gain_db": 50.0, "transmit_gain_db": TRANSMIT_GAIN_DB, "max_duty": 1.0},
        "channel": {"model": "awgn", "carrier_offset_ppm": 1.5},
        "clients": {"members": [{"name": name, "mean_snr_db": snr_db} for name in names]},
    }
    if driver not in HARDWARE_DRIVERS:
        yield from _opened(raw)
        return
    hosts = dict(zip(("bs", *names), (host for host, _ in free_addresses()), strict=False))
    raw["radio"]["uri"] = f"ip:{hosts['bs']}"
    for member in raw["clients"]["members"]:
        member["uri"] = f"ip:{hosts[member['name']]}"
    noise_dbm = THERMAL_NOISE_DBM_HZ + 10 * np.log10(DEFAULT_2MSPS.bandwidth_hz) + NOISE_FIGURE_DB
    with TemporaryDirectory() as directory:
        medium = Path(directory) / "medium.toml"
        medium.write_text(f"[medium]\nloss_db = {FULL_POWER_DBM - noise_dbm - snr_db}\ncrystal_ppm = 1.5\n")
        radios = itertools.chain(*(("--radio", f"{name}={host}") for name, host in hosts.items()))
        command = [sys.executable, "-m", "deploy", "virtual-pluto", "--json", "--medium", str(medium), *radios]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as plutos:
            try:
                assert plutos.stdout is not None
                json.loads(plutos.stdout.readline())
                yield from _opened(raw)
            finally:
                plutos.terminate()


def _opened(raw: dict[str, Any]) -> Iterator[Desk]:
    desk = Desk(experiment_from_dict(raw, "desk"))
    try:
        yield desk
    finally:
        desk.close()


def run(desk: Desk, windows: int) -> None:
    """Sound, then send data; print what came of it."""
    names = list(desk.clients)
    times_s, found, offsets_hz = [], 0, dict.fromkeys(names, 0.0)
    for index in range(windows + len(names)):
        name = names[index % len(names)]
        report, took_s = desk.hear([SoundingBurst(name, index, 0, DEFAULT_2MSPS.rb_total)], [[]])
        if report.bursts[0].detected:
            offsets_hz[name] = report.bursts[0].cfo_hz
        if index >= len(names):  # the first of each wait for processes to start
            times_s.append(took_s)
            found += report.bursts[0].detected
    _print("sounding", times_s, f"found {found} of {windows}")
    carrier_hz, width = desk.experiment.radio.carrier_hz, DEFAULT_2MSPS.rb_total // len(names) - 1
    rng = np.random.default_rng(1)
    times_s, found, delivered = [], 0, 0
    for index in range(windows):
        bursts = [
            DataBurst(
                name, 10_000 + index, place * (width + 1), width, MCS, list(range(BLOCKS)), tx_gain_db=-3.0,
                cfo_correction_hz=-offsets_hz[name], clock_offset_ppm=1e6 * offsets_hz[name] / carrier_hz,
            )
            for place, name in enumerate(names)
        ]  # fmt: skip
        blocks = [[rng.bytes(BLOCK_FORMATS["ldpc"].block_bytes) for _ in range(BLOCKS)] for _ in names]
        report, took_s = desk.hear(bursts, blocks)
        times_s.append(took_s)
        found += sum(burst.detected for burst in report.bursts)
        delivered += sum(b == s for burst, sent in zip(report.bursts, blocks, strict=True)
                         for b, s in zip(burst.blocks, sent, strict=True))  # fmt: skip
    bursts_sent = windows * len(names)
    share = 100.0 * delivered / (bursts_sent * BLOCKS)
    _print("data", times_s, f"found {found} of {bursts_sent}; blocks {share:.2f} % of {bursts_sent * BLOCKS}")


def _print(kind: str, times_s: Sequence[float], rest: str) -> None:
    print(
        f"{kind:9} window {1e3 * np.median(times_s):5.0f} ms, longest {1e3 * max(times_s):5.0f} ms; {rest}", flush=True
    )


def main() -> None:
    """Entry of ``python -m benchmarks.desk``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", choices=("pluto", "gr-iio", "simulated"), default="pluto")
    parser.add_argument("--clients", type=integer(1), default=2)
    parser.add_argument("--windows", type=integer(1), default=40, help="of each kind")
    parser.add_argument("--snr-db", type=float, default=20.0, help="reference SNR of every client")
    args = parser.parse_args()
    with desk_of(args.driver, args.clients, args.snr_db) as desk:
        run(desk, args.windows)


if __name__ == "__main__":
    main()
