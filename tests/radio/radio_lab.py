"""A radio lab for tests: a base station radio, client radios, and windows between them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from protocol.bursts import Burst, DataBurst, SoundingBurst, TransmitReport, Window, WindowKind, WindowReport
from protocol.configuration import HARDWARE_DRIVERS, Experiment
from protocol.experiment_file import experiment_from_dict
from radio.channel.levels import (
    RX_FULL_SCALE_DBM,
    THERMAL_NOISE_DBM_HZ,
    noise_dbm,
    path_gain_db,
    reference_snr_db,
)
from radio.drivers import open_base_station_radio, open_client_radio
from radio.limits import experiment_numerology, window_samples
from radio.modem import BLOCK_FORMATS, burst_air_samples
from radio.modem.trial import Impairments
from radio.numerology import DEFAULT_2MSPS
from radio.virtual.control_messages import Status
from radio.virtual.testbed import VirtualPlutos, virtual_plutos

TIMEOUT_S = 60.0


def lab_experiment(
    snr_db: Sequence[float] = (15.0,), driver: str = "simulated", **tables: dict[str, Any]
) -> Experiment:
    """Clients c0, c1, ... at these reference SNRs; carriers within the soundings' reach unless told otherwise."""
    raw: dict[str, Any] = {
        "experiment": {"name": "lab", "seed": 5},
        "radio": {"driver": driver},
        "channel": {"model": "awgn", "carrier_offset_ppm": 1.5},
        "clients": {"members": [{"name": f"c{i}", "mean_snr_db": snr} for i, snr in enumerate(snr_db)]},
    }
    for table, values in tables.items():
        raw.setdefault(table, {}).update(values)
    return experiment_from_dict(raw, "lab")


def random_blocks(seed: int, count: int) -> list[bytes]:
    """Contents of code blocks."""
    rng = np.random.default_rng(seed)
    return [rng.bytes(BLOCK_FORMATS["convolutional"].block_bytes) for _ in range(count)]


def random_impairments(rng: np.random.Generator, snr_db: float, max_cfo_hz: float, clock_ppm: float) -> Impairments:
    """A start within 1000..3000, a carrier offset within ``max_cfo_hz``."""
    start, cfo_hz = rng.uniform(1000.0, 3000.0), rng.uniform(-max_cfo_hz, max_cfo_hz)
    return Impairments(snr_db, float(start), float(cfo_hz), clock_ppm)


def sounding(client: str, burst_id: int = 1, **fields: Any) -> SoundingBurst:
    """A full-band sounding."""
    return SoundingBurst(client, burst_id, 0, DEFAULT_2MSPS.rb_total, **fields)


def data_burst(
    client: str, rb_start: int, rb_count: int, mcs: str, blocks: int, burst_id: int, **fields: Any
) -> DataBurst:
    """A grant at full power, or as much of it as the power density cap leaves."""
    cap_db = 12.0 - 10.0 * np.log10(DEFAULT_2MSPS.rb_total / rb_count)
    gain_db = float(min(0.0, cap_db))
    return DataBurst(client, burst_id, rb_start, rb_count, mcs, list(range(blocks)), tx_gain_db=gain_db, **fields)


class RadioLab:
    """Opens every radio of an experiment; ``close`` ends them."""

    def __init__(self, experiment: Experiment, session: str = "lab", iq_directory: Path | None = None) -> None:
        self.experiment = experiment
        self.session = session
        self.index = 0
        self.base_station = open_base_station_radio(experiment, iq_directory)
        address = self.base_station.radio_address
        self.clients = {m.name: open_client_radio(m.name, experiment, address) for m in experiment.clients.members}

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        self.base_station.close()

    def gain_db(self, name: str) -> float:
        """True channel power gain of a client."""
        return path_gain_db(self.experiment, self.experiment.member(name))

    def snr_db(self, name: str) -> float:
        """True reference SNR of a client."""
        return reference_snr_db(self.experiment, self.experiment.member(name))

    @property
    def rb_noise_dbfs(self) -> float:
        """True noise power of a resource block."""
        bandwidth_hz = experiment_numerology(self.experiment).rb_bandwidth_hz
        return noise_dbm(self.experiment, bandwidth_hz) - RX_FULL_SCALE_DBM

    def window(self, kind: WindowKind, bursts: Sequence[Burst], spare: int = 0) -> Window:
        """A new window that holds ``bursts``."""
        air = max((burst_air_samples(b, experiment_numerology(self.experiment)) for b in bursts), default=8192)
        self.index += 1
        n_samples = window_samples(air, self.experiment.radio.jitter_samples) + spare
        return Window(self.session, 3, self.index, kind, n_samples)

    def hear(
        self, kind: WindowKind, bursts: Sequence[Burst] = (), blocks: Sequence[Sequence[bytes]] = ()
    ) -> tuple[WindowReport, list[TransmitReport]]:
        """One window in which every burst is sent, all at the same time."""
        window = self.window(kind, bursts)
        self.base_station.arm(window, bursts)
        contents = blocks or [[] for _ in bursts]
        with ThreadPoolExecutor(max_workers=max(1, len(bursts))) as pool:
            jobs = [
                pool.submit(self.clients[burst.client].transmit, window, burst, content)
                for burst, content in zip(bursts, contents, strict=True)
            ]
            sent = [job.result() for job in jobs]
        return self.base_station.collect(TIMEOUT_S), sent

    def corrections(self, client: str) -> dict[str, float]:
        """Measured carrier and clock corrections of a client, as fields of a data burst."""
        rb_total = experiment_numerology(self.experiment).rb_total
        report, _ = self.hear("sounding", [SoundingBurst(client, 900 + self.index, 0, rb_total)])
        cfo_hz = report.bursts[0].cfo_hz
        ppm = 1e6 * cfo_hz / self.experiment.radio.carrier_hz
        return {"cfo_correction_hz": -cfo_hz, "clock_offset_ppm": ppm}


DESK_NOISE_FIGURE_DB, DESK_RECEIVE_GAIN_DB, DESK_TRANSMIT_GAIN_DB = 6.0, 50.0, -20.0
DESK_FULL_POWER_DBM = 7.0 + DESK_TRANSMIT_GAIN_DB - 13.0
"""Of a Pluto whose digital full scale is 13 dB above full power."""


class DeskLab(RadioLab):
    """The same with virtual Plutos on the desk, at losses that give the reference SNRs."""

    def __init__(self, snr_db: Sequence[float], driver: str, medium: dict[str, Any] | None = None) -> None:
        names = [f"c{i}" for i in range(len(snr_db))]
        noise_dbm = THERMAL_NOISE_DBM_HZ + 10 * np.log10(DEFAULT_2MSPS.bandwidth_hz) + DESK_NOISE_FIGURE_DB
        self.loss_db = {n: DESK_FULL_POWER_DBM - noise_dbm - snr for n, snr in zip(names, snr_db, strict=True)}
        tables = {
            "medium": {"crystal_ppm": 1.5, "loss_db": 120.0, **(medium or {})},
            "radio": [{"name": "bs", "noise_figure_db": DESK_NOISE_FIGURE_DB}],
            "link": [{"between": ["bs", name], "loss_db": float(loss_db)} for name, loss_db in self.loss_db.items()],
        }
        self._stack = ExitStack()
        self.plutos: VirtualPlutos = self._stack.enter_context(virtual_plutos(["bs", *names], tables))
        members = [{"name": name, "uri": self.plutos.uri(name)} for name in names]
        desk = {
            "uri": self.plutos.uri("bs"), "receive_gain_db": DESK_RECEIVE_GAIN_DB,
            "transmit_gain_db": DESK_TRANSMIT_GAIN_DB, "max_duty": 1.0,
            "calibration_dir": "",
        }  # fmt: skip
        try:
            super().__init__(lab_experiment((), driver, radio=desk, clients={"members": members}))
        except BaseException:
            self._stack.close()
            raise

    def hear(
        self, kind: WindowKind, bursts: Sequence[Burst] = (), blocks: Sequence[Sequence[bytes]] = ()
    ) -> tuple[WindowReport, list[TransmitReport]]:
        """As in every lab, but anew if something is missing and this machine was too busy to take all samples."""
        for _ in range(10):
            before = self._overflows()
            heard = super().hear(kind, bursts, blocks)
            whole = all(burst.detected and None not in burst.blocks for burst in heard[0].bursts)
            if whole or self._overflows() == before:
                break
        return heard

    def _overflows(self) -> int:
        return self.plutos.control(Status()).radios[0].overflows

    def close(self) -> None:
        super().close()
        self._stack.close()

    def gain_db(self, name: str) -> float:
        return -self.loss_db[name]

    def snr_db(self, name: str) -> float:
        bandwidth_hz = experiment_numerology(self.experiment).bandwidth_hz
        noise_dbm = THERMAL_NOISE_DBM_HZ + 10 * np.log10(bandwidth_hz) + DESK_NOISE_FIGURE_DB
        return float(DESK_FULL_POWER_DBM - self.loss_db[name] - noise_dbm)

    @property
    def rb_noise_dbfs(self) -> float:
        bandwidth_hz = experiment_numerology(self.experiment).rb_bandwidth_hz
        return float(THERMAL_NOISE_DBM_HZ + 10 * np.log10(bandwidth_hz) + DESK_NOISE_FIGURE_DB + DESK_RECEIVE_GAIN_DB)


def open_lab(snr_db: Sequence[float], driver: str) -> RadioLab:
    """A lab with this driver: c0, c1, ... at these reference SNRs."""
    return DeskLab(snr_db, driver) if driver in HARDWARE_DRIVERS else RadioLab(lab_experiment(snr_db, driver))
