"""Synthetic runs with believable figures, to develop and test the store and the report without a radio."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from msgspec import structs

from base_station.store.records import BurstRecord, ClientRoundRecord, RoundRecord, SignalRecord, SpectrumRecord
from base_station.store.run_store import RunStore
from base_station.store.signals import signal_record, spectrum_record
from protocol.bursts import BurstReport, Window, WindowReport
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from protocol.random_streams import random_stream
from radio.numerology import DEFAULT_2MSPS

RB_TOTAL = 28
MOST_TOGETHER = 14
CLASSES = [
    "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware", "comp.sys.mac.hardware",
    "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles", "rec.sport.baseball", "rec.sport.hockey",
    "sci.crypt", "sci.electronics", "sci.med", "sci.space", "soc.religion.christian", "talk.politics.guns",
    "talk.politics.mideast", "talk.politics.misc", "talk.religion.misc",
]  # fmt: skip
STAGES = ("train", "sounding", "allocate", "encode", "uplink", "aggregate", "evaluate", "commit")
CODE_BLOCK_BITS = 2016


def fake_experiment(clients: int = 4, rounds: int = 10) -> Experiment:
    """An experiment whose clients spread from 8 to 25 dB."""
    snr = np.linspace(25.0, 8.0, clients)
    members = [{"name": f"edge-{i + 1}", "mean_snr_db": round(float(s), 1)} for i, s in enumerate(snr)]
    return experiment_from_dict(
        {"experiment": {"name": "fake", "rounds": rounds, "seed": 7}, "clients": {"members": members}}, "fake"
    )


def fake_manifest(experiment: Experiment) -> dict[str, object]:
    rng = random_stream(7, "fake-split")
    names = [m.name for m in experiment.clients.members]
    shares = rng.dirichlet([0.5] * len(names), len(CLASSES))
    return {
        "versions": {"python": "3.11.2", "numpy": "1.26.4", "torch": "2.13.0"},
        "machine": {"system": "Linux", "cpus": 2, "processor": "Example"},
        "commit": "0123456789ab",
        "seed": 7,
        "partition_hash": "5f0c" * 16,
        "class_names": CLASSES,
        "class_histogram": {n: [int(500 * shares[c, i]) for c in range(len(CLASSES))] for i, n in enumerate(names)},
        "dataset": {"train": 10183, "validation": 1131, "test": 7532},
        "device": {"name": "measured-here", "source": "measured (Example, 2 cores, 2026-11-21)", "step_s": 0.5},
    }


def fake_client_round(experiment: Experiment, t: int, index: int, heard: bool = True) -> ClientRoundRecord:
    """One client's round with bits that add up: payload + headers + coding + retransmissions = air bits."""
    member = experiment.clients.members[index]
    clients = len(experiment.clients.members)
    rng = random_stream(7, "fake-client", t, member.name)
    fade_db = float(10 * np.log10(max(rng.exponential(), 0.02)))
    snr_db = (member.mean_snr_db or 0.0) + fade_db
    together = min(clients, MOST_TOGETHER)
    wide = (RB_TOTAL - (together - 1)) // together
    place = (index + t * together) % clients
    sent = heard and place < together and snr_db > -2
    silent = ClientRoundRecord(
        round_index=t, client=member.name, state="not-heard", weight=1 / clients,
        samples=2000 + 97 * index, compute_s=3.2, loss=(3.0 - 0.2 * index) * math.exp(-t / 5), update_energy=4.0 / t,
        unsent_energy=4.0 / t, residual_energy=(2.5 + 0.4 * index) / t, cosine_mean=0.05,
        cosine_worst=0.12, accuracy=0.6 - 0.5 / t, latency_s=3.4, train_wall_s=3.3,
        queue_s=max(0.0, 5.0 - (0.6 - 0.1 * index) * t),
    )  # fmt: skip
    if not sent:
        return silent
    blocks = int(rng.integers(60, 180))
    failed = int(rng.integers(0, 8))
    rate_bps = 1.1e5 * wide * max(1.0, snr_db / 8) / 1.2
    payload = blocks * CODE_BLOCK_BITS - 3000
    air_s = blocks * CODE_BLOCK_BITS / rate_bps
    return structs.replace(
        silent, state="delivered", airtime_s=air_s, latency_predicted_s=3.4 + 0.97 * air_s, latency_s=3.4 + air_s,
        gain_db=fade_db - 80.0 + snr_db / 10, reference_snr_db=snr_db,
        sinr_db=[snr_db + float(x) for x in rng.normal(0, 0.4, RB_TOTAL)], evm_db=-min(snr_db, 30.0), cfo_hz=1500.0,
        rb_start=place * (wide + 1), rb_count=wide, mcs="16qam-1/2" if snr_db > 14 else "qpsk-1/2",
        bits_requested=670_000, bits_granted=payload + 800, payload_bits=payload, delivered_bits=payload - 900,
        header_bits=3000, coding_bits=blocks * CODE_BLOCK_BITS + 64 * blocks, retransmission_bits=failed * 4128,
        air_bits=blocks * CODE_BLOCK_BITS * 2 + 64 * blocks + failed * 4128, passes=2 if failed else 1,
        blocks_sent=blocks + failed, blocks_failed=failed, fragments=blocks // 8, fragments_delivered=blocks // 8,
        fragments_forged=failed // 3,
        sparsity=float(np.clip(1 - payload / 600_000, 0, 1)), unsent_energy=1.5 / t, transmit_energy_j=0.01 * air_s,
        encode_wall_s=0.05,
    )  # fmt: skip


def fake_round(experiment: Experiment, t: int, clients: list[ClientRoundRecord]) -> RoundRecord:
    accuracy = 0.05 + 0.62 * (1 - math.exp(-t / 3))
    return RoundRecord(
        round_index=t, clients_ready=len(clients), barrier_s=3.4, latency_s=max(c.latency_s for c in clients),
        airtime_s=max(c.airtime_s for c in clients) + 0.05, sounding_airtime_s=0.05,
        air_bits=sum(c.air_bits for c in clients), payload_bits=sum(c.payload_bits for c in clients),
        downlink_bits=2_600_000 * len(clients), objective=1.2, lower_bound=1.2, kappa=0.3,
        noise_db=[-92.0] * RB_TOTAL, covariance=0.02, covariance_relative=0.1, cosine_mean=0.06, cosine_worst=0.14,
        additive_over_exact=1.03, loss=3.0 * math.exp(-t / 5), accuracy=accuracy, worst_client_accuracy=accuracy - 0.07,
        macro_f1=accuracy - 0.02, note="" if any(c.air_bits for c in clients) else "no client was heard: SNR too low",
        solve_wall_s=0.004, wall_s=12.0, stage_wall_s={s: 0.3 * (i + 1) for i, s in enumerate(STAGES)},
    )  # fmt: skip


def fake_bursts(t: int, clients: list[ClientRoundRecord]) -> list[BurstRecord]:
    sounding = [
        BurstRecord(round_index=t, window_index=i + 1, client=c.client, kind="sounding", rb_count=RB_TOTAL,
                    detected=bool(c.sinr_db), snr_db=c.reference_snr_db)
        for i, c in enumerate(clients)
    ]  # fmt: skip
    data = [
        BurstRecord(round_index=t, window_index=100, client=c.client, kind="data", rb_start=c.rb_start,
                    rb_count=c.rb_count, mcs=c.mcs, detected=True, blocks=c.blocks_sent, blocks_failed=c.blocks_failed,
                    air_bits=c.air_bits, snr_db=c.reference_snr_db, evm_db=c.evm_db or 0.0)
        for c in clients if c.air_bits
    ]  # fmt: skip
    return sounding + data


def fake_signals(bursts: list[BurstRecord], clients: list[ClientRoundRecord]) -> list[SignalRecord]:
    """What every detected burst looked like."""
    records = {c.client: c for c in clients}
    return [fake_signal(b, records[b.client]) for b in bursts if b.detected]


def fake_signal(b: BurstRecord, c: ClientRoundRecord) -> SignalRecord:
    rng = random_stream(7, "fake-signal", b.round_index, b.window_index, b.client)
    levels = np.array([-3, -1, 1, 3]) / math.sqrt(10) if b.mcs.startswith("16") else np.array([-1, 1]) / math.sqrt(2)
    points = rng.choice(levels, 400) + 1j * rng.choice(levels, 400)
    sigma = 10 ** (-max(c.reference_snr_db, 6) / 20) / math.sqrt(2)
    points = points + sigma * (rng.normal(size=400) + 1j * rng.normal(size=400))
    loaded = len(DEFAULT_2MSPS.loaded_subcarriers(b.rb_start, b.rb_count))
    soft = np.concatenate([rng.normal(sign * 12.0, 5.0, 500) for sign in (-1, 1)])
    return signal_record(
        fake_window(b.round_index, b.window_index, b.kind),
        BurstReport(
            b.client, 1, True, constellation=points.astype(np.complex64).tobytes(),
            channel_db=(c.gain_db + rng.normal(0, 0.3, loaded)).tolist(),
            sinr_db=(c.reference_snr_db + rng.normal(0, 0.4, b.rb_count)).tolist(),
            soft_bits=np.histogram(soft, 64, (-32, 32))[0].tolist() if b.kind == "data" else [],
        ),
    )  # fmt: skip


def fake_spectra(t: int, clients: list[ClientRoundRecord], bursts: list[BurstRecord]) -> list[SpectrumRecord]:
    """The silent window, and every window with a burst: noise, and in data windows the grants of all."""
    rng = random_stream(7, "fake-spectra", t)
    windows: dict[int, str] = {0: "silent", **{b.window_index: b.kind for b in bursts}}
    spectra = []
    for index, kind in windows.items():
        psd = np.full(256, -95.0) + rng.normal(0, 0.6, 256)
        for c in clients if kind == "data" else []:
            psd[16 + 8 * c.rb_start : 16 + 8 * (c.rb_start + c.rb_count)] += c.reference_snr_db
        spectra.append(spectrum_record(WindowReport(fake_window(t, index, kind), psd_db=psd.tolist())))
    return spectra


def fake_window(t: int, index: int, kind: str) -> Window:
    return Window("fake", t, index, kind, 2**16)  # type: ignore[arg-type]


def commit_fake_round(store: RunStore, t: int, heard: bool = True, signals: bool = True) -> None:
    experiment = store.experiment
    clients = [fake_client_round(experiment, t, i, heard) for i in range(len(experiment.clients.members))]
    bursts = fake_bursts(t, clients)
    store.commit_round(
        fake_round(experiment, t, clients), clients, bursts,
        fake_signals(bursts, clients) if signals else [], fake_spectra(t, clients, bursts) if signals else [],
        f"state {t}".encode(), b"adapter" * t,
    )  # fmt: skip


def make_fake_run(
    directory: Path,
    clients: int = 4,
    rounds: int = 10,
    done: int | None = None,
    heard: bool = True,
    signals: bool = True,
) -> Path:
    """A run directory with ``done`` of ``rounds`` committed; finished if that is all of them."""
    experiment = fake_experiment(clients, rounds)
    done = rounds if done is None else done
    with RunStore.create(directory, experiment, fake_manifest(experiment)) as store:
        store.set_fact("initial_accuracy", 0.048)
        store.set_fact("dense_payload_bits", 660_000)
        for t in range(1, done + 1):
            commit_fake_round(store, t, heard, signals)
        if done == rounds:
            store.set_fact("final_accuracy", 0.6452)
            store.set_fact("final_accuracy_interval", [0.6241, 0.6658])
            store.set_fact("final_texts", 2000)
            store.finish({"final_accuracy": 0.6452})
    return directory
