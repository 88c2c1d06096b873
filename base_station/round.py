"""The base station's side of the round, top to bottom (docs/design.md, section 2).

plan -> ready -> silent window -> sounding -> TSFA -> grants -> uplink with ARQ -> aggregate -> evaluate -> commit.
``edge_client/round.py`` is the other side. Radio, control plane, evaluator and store are injected, so the same
code runs with simulated, virtual and real radios. Only ``StationRound.play`` commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from base_station.aggregation import Aggregate, Contribution
from base_station.allocation.rules import allocate
from base_station.checks import absurd_energies, fault_of_encoded, fault_of_ready
from base_station.lab import Lab, Verdict
from base_station.ledger import client_records, round_record
from base_station.round_link import RoundLink
from base_station.settlement import next_state
from base_station.state import ServerState
from base_station.tsfa.energies import scale_energies
from base_station.tsfa.problem import Allocation, ClientAllocation, ClientInstance, Instance
from base_station.uplink import Uplink
from base_station.windows import WindowRunner
from protocol.adapters import Adapter, absurd_value, adapter_digest, adapter_to_bytes, zeros_like
from protocol.errors import UpdateFileError
from protocol.folding import Folded, with_folded
from protocol.messages import Encoded, GrantBits, Plan, Ready
from protocol.schemes import LAYOUT_OF
from protocol.steps import reached
from protocol.update.fragments import join_fragments
from protocol.update.records import DecodedUpdate

ENERGY_FLOOR = 1e-12
"""Floor of the round's energy scale Ebar."""


class StationRound:
    """One round of the base station; ``play`` runs it and returns what the next one starts from."""

    def __init__(self, lab: Lab, state: ServerState, adapter: Adapter) -> None:
        self.lab = lab
        self.state = state
        self.adapter = adapter
        self.index = state.round_index + 1
        self.windows = WindowRunner(
            lab.radio, lab.roster, lab.numerology, lab.experiment.radio, lab.experiment.experiment.seed,
            lab.session, self.index,
        )  # fmt: skip
        self.link = RoundLink(lab, self.windows, state)
        self.stage_wall_s: dict[str, float] = {}
        self.ready: dict[str, Ready] = {}
        self.late: dict[str, Ready] = {}
        self.barrier_s = 0.0
        self.weights: dict[str, float] = {}
        self.allocation: Allocation | None = None
        self.encoded: dict[str, Encoded] = {}
        self.downlink_bits = 0

    def play(self) -> tuple[ServerState, Adapter]:
        """Play the round and commit it. Raises StorageError, RadioError and PeerLostError."""
        started = time.monotonic()
        with self._stage("train"):
            self._gather_ready()
        with self._stage("sounding"):
            self._measure_channels()
        with self._stage("allocate"):
            self._allocate()
        with self._stage("encode"):
            self._grant()
        with self._stage("uplink"):
            self._receive_updates()
        with self._stage("aggregate"):
            aggregate = self._aggregate()
        with self._stage("evaluate"):
            verdict = self.lab.evaluator.validate(aggregate.adapter)
            reached("base-station", "evaluated", self.index)
        return self._commit(aggregate, verdict, started)

    # ---- plan and ready -------------------------------------------------------------

    def _gather_ready(self) -> None:
        adapter_bytes = adapter_to_bytes(self.adapter)

        def send_plan(name: str) -> None:
            committed = self.state.participations.get(name)
            folded = self.lab.folding.message(name) if self.lab.folding else None
            self.lab.roster.send(name, Plan(self.index, adapter_bytes, committed, self.state.kappa, folded))
            self.downlink_bits += 8 * (len(adapter_bytes) + (len(folded.data) if folded else 0))
            self.lab.progress.client(name, "training")

        def send_plan_anew(name: str) -> None:
            if self.lab.folding:
                self.lab.folding.forget(name)
            send_plan(name)

        clients = self.lab.roster.begin_round()
        for name in clients:
            send_plan(name)
        reached("base-station", "planned", self.index)
        answers = self.lab.roster.gather(clients, Ready, lambda _, m: m.round_index == self.index, send_plan_anew)
        for name, message in answers.items():
            fault = fault_of_ready(message, self.lab.samples[name], self.lab.compute_s[name])
            if fault:
                self.lab.roster.leave_out(name, fault)
            elif message.compute_s > self.lab.experiment.ready_deadline_s:
                self.late[name] = message
            else:
                self.ready[name] = message
        for name, fault in absurd_energies(self.ready).items():
            self.lab.roster.leave_out(name, fault)
            del self.ready[name]
        total = sum(r.samples for r in self.ready.values())
        self.weights = {name: r.samples / total for name, r in self.ready.items()}
        reached("base-station", "ready", self.index)

    # ---- channel --------------------------------------------------------------------

    def _measure_channels(self) -> None:
        self.link.measure(self.ready)
        self.barrier_s = self._last_ready_s() + self.windows.model_s
        reached("base-station", "sounded", self.index)

    def _last_ready_s(self) -> float:
        """When the last ready client was done; a late one makes everybody wait for the ready-deadline."""
        if self.late:
            return self.lab.experiment.ready_deadline_s
        return max((r.compute_s for r in self.ready.values()), default=0.0)

    # ---- TSFA, or what it is compared with -------------------------------------------

    def _allocate(self) -> None:
        self.link.rate_places()
        self.allocation = allocate(self._instance(), self.lab.experiment.tsfa)
        reached("base-station", "allocated", self.index)

    def _instance(self) -> Instance:
        """The round as a TSFA problem; energies are scaled by Ebar (docs/algorithms.md, section 4)."""
        tsfa = self.lab.experiment.tsfa
        names, rates = list(self.ready), self.link.rates
        curves = scale_energies(
            [self.ready[n].curve for n in names], [self.weights[n] for n in names], ENERGY_FLOOR, tsfa.error_power
        )
        clients = [
            ClientInstance(
                name=name, weight=self.weights[name], queue_s=self.state.queue_s[name], compute_s=self.barrier_s,
                overhead_s=0.0, rate_bps_at=rates[name].rows() if name in rates else [], curve=curve,
            )
            for name, curve in zip(names, curves, strict=True)
        ]  # fmt: skip
        return Instance(
            rb_total=self.lab.numerology.rb_total, guard_rb=self.lab.experiment.radio.guard_rb, V=tsfa.V,
            latency_model=tsfa.latency_model, queue_s=self.state.common_queue_s,
            deadline_s=max(self.lab.experiment.deadline_s, self.barrier_s), clients=clients,
        )  # fmt: skip

    @property
    def granted(self) -> dict[str, ClientAllocation]:
        """The allocation by client (zero bits included)."""
        return {c.name: c for c in self.allocation.clients} if self.allocation else {}

    # ---- grants and uplink ----------------------------------------------------------

    def _grant(self) -> None:
        granted = {name: c for name, c in self.granted.items() if c.bits > 0}
        for name in self.ready:
            if name not in self.lab.roster.left_out:
                self.lab.roster.send(name, GrantBits(self.index, int(granted[name].bits) if name in granted else 0))
        reached("base-station", "granted", self.index)
        answers = self.lab.roster.gather(granted, Encoded, lambda _, m: m.round_index == self.index)
        for name, encoded in answers.items():
            fragment_bytes = self.lab.experiment.radio.fragment_bytes
            fault = fault_of_encoded(encoded, int(granted[name].bits), fragment_bytes, self.lab.block_bytes)
            if fault:
                self.lab.roster.leave_out(name, fault)
                continue
            self.encoded[name] = encoded
            self.link.grant(name, granted[name].rb_start, granted[name].rb_count, encoded.blocks)

    def _receive_updates(self) -> None:
        uplink = Uplink(self.windows, self.lab.experiment.deadline_s, self.barrier_s)
        uplink.run(self.link.grants)
        reached("base-station", "received", self.index)

    # ---- aggregation and commit -----------------------------------------------------

    def _aggregate(self) -> Aggregate:
        """Take what arrived into the global adapter; a silent client keeps its weight and adds nothing."""
        nothing = DecodedUpdate(zeros_like(self.adapter), (), 0)
        arrived = {name: self._arrived(name) or nothing for name in self.ready}
        contributions = [
            Contribution(name, self.weights[name], update.delta, products=update.products)
            for name, update in arrived.items()
        ]
        aggregate = self.lab.aggregator.aggregate(self.adapter, contributions, self.lab.scaling)
        if self.lab.folding:
            self.lab.folding.add(aggregate.folded, {*self.ready, *self.late} - set(self.lab.roster.left_out))
            self.lab.evaluator.set_folded(self.lab.folding.folded)
        reached("base-station", "aggregated", self.index)
        return aggregate

    def _arrived(self, name: str) -> DecodedUpdate | None:
        grant = self.link.grants.get(name)
        if grant is None or not grant.arq.fragments or name in self.lab.roster.left_out:
            return None
        try:
            update = join_fragments(
                grant.arq.fragments,
                payload_bytes=self.encoded[name].payload_bits // 8,
                fragment_bytes=self.lab.experiment.radio.fragment_bytes,
                base=self.adapter,
                quant_bits=self.lab.experiment.soft.quant_bits,
                frozen=self.lab.experiment.training.frozen(self.index),
                layout=LAYOUT_OF[self.lab.experiment.soft.compression],
                base_digest=self._digest,
            )
            problem = absurd_value(update.delta)
        except UpdateFileError as error:
            problem = str(error)
        if problem:
            self.lab.roster.leave_out(name, f"its update was refused: {problem}")
            return None
        return update

    def _commit(self, aggregate: Aggregate, verdict: Verdict, started: float) -> tuple[ServerState, Adapter]:
        """Queues, records, and the one commit that makes the round count."""
        state = next_state(self)
        clients = client_records(self, state, verdict)
        record = round_record(self, clients, aggregate, verdict, state.common_queue_s)
        record.wall_s, record.stage_wall_s = time.monotonic() - started, self.stage_wall_s
        self.lab.store.commit_round(
            record, clients, self.windows.bursts, self.windows.signals, self.windows.spectra,
            state=state.to_bytes(), adapter=adapter_to_bytes(with_folded(aggregate.adapter, self._folded)),
        )  # fmt: skip
        reached("base-station", "committed", self.index)
        self.lab.progress.round_done(record, clients)
        return state, aggregate.adapter

    @cached_property
    def _digest(self) -> bytes:
        return adapter_digest(self.adapter)

    @property
    def _folded(self) -> Folded:
        return self.lab.folding.folded if self.lab.folding else {}

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.lab.progress.stage(self.index, name)
        started = time.monotonic()
        yield
        self.stage_wall_s[name] = time.monotonic() - started
