"""Whole rounds of the base station without training: clients play recorded updates, all else is what a run has.

``base_station.round`` with its soundings, TSFA, grants, ARQ, link adaptation, queues, ledger and store, over any radio
driver. An update is recorded once: its error curve and, for every point of the curve, the file SOFT encodes. The global
adapter stays as it is, so a file of one round is as good in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from base_station.aggregation import Aggregate, Contribution
from base_station.lab import Lab, Verdict
from base_station.round import StationRound
from base_station.state import ServerState
from base_station.store.run_store import RunStore
from benchmarks.soft_selection import QUANT_BITS, SCALING, example
from edge_client.soft.compression import rank
from edge_client.soft.encoding import EncodedUpdate, encode
from edge_client.soft.importance import update_energies
from edge_client.soft.ranking import Change, error_curve
from protocol.adapters import Adapter, Scaling
from protocol.configuration import Experiment
from protocol.messages import CurvePoint, DataGo, Encoded, GrantBits, Plan, Ready, Sent, SoundingGo
from protocol.random_streams import random_stream
from protocol.update.fragments import cut_fragments
from radio.drivers import open_base_station_radio, open_client_radio
from radio.fragments import FragmentTagger
from radio.interface import ClientRadio
from radio.limits import experiment_numerology
from radio.link_tables import LinkTables
from radio.modem.mcs import BLOCK_FORMATS

RUN_ID, SESSION, KEY = "played", "played", bytes(32)
MODULES, WIDTH, RANK = 12, 384, 8
"""An adapter of MiniLM's shape."""
UPDATES = 8
SAMPLES = 400
COMPUTE_S = 3.0


class RecordedUpdate:
    """One update: its error curve, and its file for every bit budget that was granted."""

    def __init__(self, change: Change, curve_points: int) -> None:
        self._ranking = rank("soft", change)
        self.curve: list[CurvePoint] = error_curve(self._ranking, curve_points)
        self.energies = update_energies(change.base, change.delta, change.scaling)
        self._files: dict[int, EncodedUpdate] = {}

    def encoded(self, budget_bits: int) -> EncodedUpdate:
        """As SOFT encodes it."""
        if budget_bits not in self._files:
            self._files[budget_bits] = encode(self._ranking, budget_bits, random_stream(1, "played rounding"))
        return self._files[budget_bits]


def recorded_updates(base: Adapter, curve_points: int) -> list[RecordedUpdate]:
    """``UPDATES`` of them, made up, with different directions and strengths."""
    updates = []
    for index in range(UPDATES):
        rng = random_stream(1, "played update", index)
        size = float(rng.uniform(0.5, 2.0))
        delta = {name: (size * 0.01 * rng.normal(size=v.shape)).astype(v.dtype) for name, v in base.items()}
        for name in delta:
            if "lora_B" in name:
                delta[name] *= rng.lognormal(size=delta[name].shape[1]).astype(delta[name].dtype)
        updates.append(RecordedUpdate(Change(base, delta, SCALING, 1.0, QUANT_BITS), curve_points))
    return updates


class RecordedClients:
    """Stands where the roster and the progress display of a run do; its clients answer at once."""

    def __init__(self, experiment: Experiment, base: Adapter, radios: Mapping[str, ClientRadio]) -> None:
        self.joined = set(radios)
        self.left_out: dict[str, str] = {}
        self._experiment, self._base, self._radios = experiment, base, radios
        self._updates = recorded_updates(base, experiment.soft.curve_points)
        self._blocks: dict[str, list[bytes]] = {}
        self._answers: dict[str, Ready | Encoded] = {}
        self._told: dict[str, SoundingGo | DataGo] = {}
        self._places = {name: place for place, name in enumerate(radios)}
        # A client of the simulated radio is at it for as long as its flowgraph runs; without samples it takes no time.
        self._at_once = experiment.radio.driver != "abstract"
        self._pool = ThreadPoolExecutor(min(len(radios), 16))

    def close(self) -> None:
        """No more bursts."""
        self._pool.shutdown()

    def begin_round(self) -> list[str]:
        """As of ``Roster``."""
        self.left_out.clear()
        return list(self._radios)

    def send(self, name: str, message: Plan | GrantBits | SoundingGo | DataGo) -> None:
        """As of ``Roster``: the client's answer waits to be gathered."""
        if isinstance(message, Plan):
            self._answers[name] = self._ready(name, message.round_index)
        elif isinstance(message, GrantBits):
            if message.budget_bits:
                self._answers[name] = self._encoded(name, message)
        else:
            self._told[name] = message

    def gather(
        self, names: Iterable[str], wanted: type[Any], accept: Callable[..., bool], replan: object = None
    ) -> dict[str, Any]:
        """As of ``Roster``."""
        if wanted is not Sent:
            return {name: self._answers.pop(name) for name in names}
        told = {name: self._told.pop(name) for name in names}
        together = self._pool.map if self._at_once and len(told) > 1 else map
        return dict(zip(told, together(self._transmit, told, told.values()), strict=True))

    def leave_out(self, name: str, reason: str) -> None:
        """As of ``Roster``; nothing should ever go wrong here."""
        raise AssertionError(f"{name} is left out: {reason}")

    def warn(self, text: str) -> None:
        """As of ``Roster`` and ``Progress``."""

    def client(self, name: str, stage: str, snr_db: float | None = None) -> None:
        """As of ``Progress``, as is what follows."""

    def stage(self, round_index: int, stage: str) -> None:
        """A stage of the round begins."""

    def round_done(self, record: object, clients: object) -> None:
        """A round was committed."""

    def _update(self, name: str, round_index: int) -> RecordedUpdate:
        return self._updates[(self._places[name] + round_index) % UPDATES]

    def _ready(self, name: str, round_index: int) -> Ready:
        update = self._update(name, round_index)
        return Ready(
            round_index=round_index, samples=SAMPLES, compute_s=COMPUTE_S, loss=1.0, curve=update.curve,
            lora_energy=update.energies.lora, head_energy=update.energies.head, exact_energy=update.energies.exact,
            cosine_mean=0.0, cosine_worst=0.0, residual_energy=0.0,
        )  # fmt: skip

    def _encoded(self, name: str, grant: GrantBits) -> Encoded:
        radio, index = self._experiment.radio, grant.round_index
        update = self._update(name, index).encoded(grant.budget_bits)
        fragments = cut_fragments(update.file, radio.fragment_bytes, self._base)
        tagger = FragmentTagger(KEY, RUN_ID, index, name, BLOCK_FORMATS[radio.codec].block_bytes)
        self._blocks[name] = [block for i, f in enumerate(fragments) for block in tagger.seal(i, f)]
        return Encoded(
            round_index=index, payload_bits=8 * len(update.file), fragments=len(fragments),
            blocks=len(self._blocks[name]), components_sent=update.components_sent,
            components_total=update.components_total, lora_values_sent=update.lora_values_sent,
            lora_values_total=update.lora_values_total, unsent_energy=update.unsent_energy,
        )  # fmt: skip

    def _transmit(self, name: str, go: SoundingGo | DataGo) -> Sent:
        ids = go.burst.block_ids if isinstance(go, DataGo) else []
        report = self._radios[name].transmit(go.window, go.burst, [self._blocks[name][i] for i in ids])
        return Sent(go.window.round_index, go.window.index, report)


class UnchangedAdapter:
    """Implements ``Aggregator`` and ``Evaluator`` where nothing is learnt."""

    def aggregate(self, base: Adapter, contributions: Sequence[Contribution], scaling: Scaling) -> Aggregate:
        """As of ``Aggregator``."""
        return Aggregate(base)

    def validate(self, adapter: Adapter) -> Verdict:
        """As of ``Evaluator``."""
        return Verdict(1.0, 0.5, 0.5, (0.4, 0.6), {"nobody": 0.5}, 1)


class PlayedRounds:
    """An experiment's rounds, kept in a run store; a context manager."""

    def __init__(self, experiment: Experiment, directory: Path) -> None:
        self._stack = ExitStack()
        names = [member.name for member in experiment.clients.members]
        radio = open_base_station_radio(experiment)
        self._stack.callback(radio.close)
        radios: dict[str, ClientRadio] = {}
        for name in names:
            radios[name] = open_client_radio(name, experiment, radio.radio_address)
            self._stack.callback(radios[name].close)
        self.store = self._stack.enter_context(RunStore.create(directory, experiment, {"run_id": RUN_ID}))
        self.adapter = example(MODULES, WIDTH, RANK).base
        clients: Any = RecordedClients(experiment, self.adapter, radios)
        self._stack.callback(clients.close)
        nothing: Any = UnchangedAdapter()
        self.lab = Lab(
            experiment=experiment, run_id=RUN_ID, session=SESSION, radio=radio, roster=clients, evaluator=nothing,
            aggregator=nothing, folding=None, store=self.store, progress=clients,
            numerology=experiment_numerology(experiment), tables=LinkTables.load().of(experiment.radio.codec),
            scaling=SCALING, samples=dict.fromkeys(names, SAMPLES), compute_s=dict.fromkeys(names, COMPUTE_S),
            fragment_keys=dict.fromkeys(names, KEY),
        )  # fmt: skip

    def __enter__(self) -> PlayedRounds:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, state: ServerState) -> tuple[StationRound, ServerState]:
        """The round after ``state``, committed, and what the next one starts from."""
        played = StationRound(self.lab, state, self.adapter)
        after, _ = played.play()
        return played, after
