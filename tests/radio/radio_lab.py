"""A radio lab for tests: a base station radio, client radios, and windows between them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from protocol.bursts import Burst, DataBurst, SoundingBurst, TransmitReport, Window, WindowKind, WindowReport
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from radio.drivers import open_base_station_radio, open_client_radio
from radio.limits import experiment_numerology, window_samples
from radio.modem import BLOCK_FORMATS, burst_air_samples
from radio.modem.trial import Impairments
from radio.numerology import DEFAULT_2MSPS

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
