"""Rounds of the base station without learning: real radios, real soundings, grants and ARQ, made-up updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from base_station.lab import Lab
from base_station.round_link import RoundLink
from base_station.state import ServerState
from base_station.uplink import Uplink
from base_station.windows import WindowRunner
from protocol.bursts import Burst, Window, WindowReport
from protocol.configuration import Experiment
from protocol.messages import DataGo, Sent, SoundingGo
from protocol.random_streams import random_stream
from radio.drivers import open_base_station_radio, open_client_radio
from radio.fragments import FragmentTagger
from radio.interface import BaseStationRadio, ClientRadio
from radio.limits import experiment_numerology
from radio.link_tables import LinkTables
from radio.modem.mcs import BLOCK_FORMATS

RUN_ID, SESSION, KEY = "rounds", "rounds", bytes(32)
LONGEST_ROUND_S = 1e3

Shares = Mapping[str, tuple[int, int]]
"""First RB and number of RBs by client."""


class ReportingRadio:
    """A base station's radio that keeps its reports."""

    def __init__(self, radio: BaseStationRadio) -> None:
        self._radio = radio
        self.radio_address = radio.radio_address
        self.arm, self.leave_out, self.close = radio.arm, radio.leave_out, radio.close
        self.reports: list[WindowReport] = []

    def collect(self, timeout_s: float) -> WindowReport:
        """As of ``BaseStationRadio``."""
        self.reports.append(self._radio.collect(timeout_s))
        return self.reports[-1]


class PromptClients:
    """A roster whose clients send as soon as they are told to."""

    def __init__(self, radios: Mapping[str, ClientRadio], fragment_bytes: int, block_bytes: int) -> None:
        self.left_out: dict[str, str] = {}
        self._radios = radios
        self._fragment_bytes, self._block_bytes = fragment_bytes, block_bytes
        self._pool = ThreadPoolExecutor(len(radios))
        self._sending: dict[str, Future[Sent]] = {}
        self._blocks: dict[str, list[bytes]] = {}

    def begin(self, round_index: int, fragments: int) -> int:
        """Give every client an update of ``fragments`` fragments; returns its number of blocks."""
        for name in self._radios:
            rng = random_stream(1, "made-up update", round_index, name)
            tagger = FragmentTagger(KEY, RUN_ID, round_index, name, self._block_bytes)
            sealed = [tagger.seal(index, rng.bytes(self._fragment_bytes)) for index in range(fragments)]
            self._blocks[name] = [block for blocks in sealed for block in blocks]
        return len(self._blocks[next(iter(self._radios))])

    def send(self, name: str, message: SoundingGo | DataGo) -> None:
        """As of ``Roster``."""
        blocks = [self._blocks[name][i] for i in message.burst.block_ids] if isinstance(message, DataGo) else []
        self._sending[name] = self._pool.submit(self._transmit, name, message.window, message.burst, blocks)

    def _transmit(self, name: str, window: Window, burst: Burst, blocks: Sequence[bytes]) -> Sent:
        return Sent(window.round_index, window.index, self._radios[name].transmit(window, burst, blocks))

    def gather(self, names: Sequence[str], kind: type[Sent], fits: Callable[..., bool]) -> dict[str, Sent]:
        """As of ``Roster``."""
        return {name: self._sending.pop(name).result() for name in names}

    def leave_out(self, name: str, reason: str) -> None:
        """As of ``Roster``."""
        self.left_out[name] = reason

    def warn(self, text: str) -> None:
        """As of ``Roster``."""

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """As of ``Progress``."""


class PlayedRound:
    """What came of a round."""

    def __init__(self, link: RoundLink, windows: WindowRunner, reports: Sequence[WindowReport], goodput: float) -> None:
        self.link = link
        self.windows = windows
        self.goodput_bps = goodput
        """Update bits that arrived, all clients, per second of the data windows' air time."""
        self._reports = [r for r in reports if r.window.kind == "data"]

    def received_psd_db(self) -> list[dict[str, float]]:
        """By data window and client that was heard: received power per RB as measured, dB relative to full scale."""
        counts = {name: grant.rb_count for name, grant in self.link.grants.items()}
        return [
            {b.client: b.rx_power_dbfs - _db(counts[b.client]) for b in report.bursts if b.detected}
            for report in self._reports
        ]

    def data_energy_j(self, name: str) -> float:
        """Transmit energy of a client's data bursts."""
        soundings = sum(b.client == name and b.kind != "data" for b in self.windows.bursts)
        return sum(sent.energy_j for sent in self.windows.transmissions[name][soundings:])


class RadioRounds:
    """An experiment's radios; ``play`` sends one made-up update of every client. A context manager."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.state = ServerState.initial(experiment)
        self.radio = ReportingRadio(open_base_station_radio(experiment))
        names = [member.name for member in experiment.clients.members]
        self._clients = {name: open_client_radio(name, experiment, self.radio.radio_address) for name in names}
        radio = experiment.radio
        block_bytes = BLOCK_FORMATS[radio.codec].block_bytes
        self.roster = PromptClients(self._clients, radio.fragment_bytes, block_bytes)
        unused: Any = None
        made_up: Any = self.roster
        self.lab = Lab(
            experiment=experiment, run_id=RUN_ID, session=SESSION, radio=self.radio, roster=made_up,
            evaluator=unused, aggregator=unused, folding=None, store=unused, progress=made_up,
            numerology=experiment_numerology(experiment), tables=LinkTables.load().of(radio.codec), scaling=1.0,
            samples=unused, compute_s=unused, fragment_keys=dict.fromkeys(names, KEY),
        )  # fmt: skip

    def __enter__(self) -> RadioRounds:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self.radio.close()

    def play(self, fragments: int, shares: Shares) -> PlayedRound:
        """One round: silence, soundings, the best grant inside each client's share, data with ARQ."""
        index = self.state.round_index + 1
        blocks = self.roster.begin(index, fragments)
        windows = WindowRunner(
            self.radio, self.lab.roster, self.lab.numerology, self.experiment.radio, self.experiment.experiment.seed,
            SESSION, index,
        )  # fmt: skip
        link = RoundLink(self.lab, windows, self.state)
        link.measure(self._clients)
        link.rate_places()
        for name, rates in link.rates.items():
            grant = rates.best_within(*shares[name])
            if grant is not None:
                link.grant(name, *grant, blocks)
        sounded_s, first = windows.airtime_s, len(self.radio.reports)
        Uplink(windows, LONGEST_ROUND_S, 0.0).run(link.grants)
        self.state.round_index, self.state.links, self.state.carriers = index, link.states(), link.carriers
        arrived = sum(8 * len(f) for grant in link.grants.values() for f in grant.arq.fragments.values())
        air_s = windows.airtime_s - sounded_s
        return PlayedRound(link, windows, self.radio.reports[first:], arrived / air_s if air_s else 0.0)


def equal_shares(experiment: Experiment, rb_total: int) -> dict[str, tuple[int, int]]:
    """The band in equal parts, a guard between any two."""
    guard, members = experiment.radio.guard_rb, experiment.clients.members
    count = (rb_total - guard * (len(members) - 1)) // len(members)
    return {member.name: (index * (count + guard), count) for index, member in enumerate(members)}


def _db(ratio: float) -> float:
    return 10.0 * math.log10(ratio)
