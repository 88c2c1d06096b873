"""One edge client's side of the round, top to bottom: plan, sounding, grant, bursts.

Each method answers one message of the base station (``base_station/round.py`` is the other side).
The radio, the memory and the trainer are injected, so the same code runs with simulated, virtual
and real radios.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from edge_client.memory import RememberedRound, RoundMemory
from edge_client.soft.compression import rank, sendable
from edge_client.soft.encoding import decayed, encode, local_update, new_residual
from edge_client.soft.importance import Energies, additive_energy, head_scale, update_energies
from edge_client.soft.ranking import Change, Ranking, error_curve
from edge_client.soft.turned_residual import turned_residual
from protocol.adapters import Adapter, adapter_from_bytes, zeros_like
from protocol.configuration import Experiment
from protocol.errors import ProtocolError
from protocol.factors import column_overlap
from protocol.folding import Folded, change_from_bytes, grown, split_folded
from protocol.messages import DataGo, Encoded, FoldedWeights, GrantBits, Participation, Plan, Ready, Sent, SoundingGo
from protocol.random_streams import derive_seed, random_stream
from protocol.schemes import LAYOUT_OF, Frozen
from protocol.steps import reached
from protocol.update.files import check_sum
from protocol.update.fragments import cut_fragments, join_fragments
from protocol.update.records import DecodedUpdate
from radio.arq import delivered_indices
from radio.fragments import FragmentTagger
from radio.interface import ClientRadio
from radio.modem.mcs import BLOCK_FORMATS


@dataclass(frozen=True)
class Trained:
    """Outcome of local training: the trained adapter, mean gradient, mean task loss, model time."""

    adapter: Adapter
    gradient: Adapter
    loss: float
    compute_s: float


class Trainer(Protocol):
    """Local training of one client."""

    samples: int
    """Texts in the client's shard."""
    scaling: float
    """alpha / r of its LoRA."""

    def set_folded(self, folded: Folded) -> None:
        """Train on top of these changes of the frozen weights (``exact-fold``)."""

    def train(self, adapter: Adapter, round_index: int) -> Trained:
        """Run the round's local steps from ``adapter``; a function of (adapter, round) alone."""


class ClientRound:
    """The round of one client. Methods must be called in the order in which they stand here."""

    def __init__(
        self, name: str, experiment: Experiment, run_id: str, fragment_key: bytes,
        trainer: Trainer, memory: RoundMemory, radio: ClientRadio,
    ) -> None:  # fmt: skip
        self._name = name
        self._experiment = experiment
        self._run_id = run_id
        self._fragment_key = fragment_key
        self._trainer = trainer
        self._memory = memory
        self._radio = radio
        self._round_index = -1
        self._ranking: Ranking | None = None
        self._blocks: list[bytes] = []
        self._folded: Folded = {}
        self._folded_round = -1
        """The plan that brought the last of it."""

    def on_plan(self, plan: Plan) -> Ready:
        """Settle what the last round left unsent, train, and say what sending would be worth."""
        started = time.monotonic()
        self._round_index, self._ranking, self._blocks = plan.round_index, None, []
        base, _ = adapter_from_bytes(plan.adapter, "the plan's adapter")
        residual, lost, lost_energy = self._residual(plan, base)
        reached(self._name, "planned", plan.round_index)
        if plan.folded is not None:
            self._take_folded(plan.folded, plan.round_index)
        trained = self._trainer.train(base, plan.round_index)
        delta = local_update(base, trained.adapter, residual)
        reached(self._name, "trained", plan.round_index)
        if self._experiment.soft.residual == "on":
            self._memory.remember(plan.round_index, base, delta)
        reached(self._name, "remembered", plan.round_index)
        sent = sendable(delta, self._frozen(plan.round_index))
        energies = update_energies(base, sent, self._trainer.scaling)
        kappa = head_scale(energies.lora, energies.head) if plan.kappa is None else plan.kappa
        self._ranking = self._rank(base, sent, kappa, energies.ranks, trained.gradient)
        cosine_mean, cosine_worst = column_overlap(trained.adapter)
        return Ready(
            round_index=plan.round_index,
            samples=self._trainer.samples,
            compute_s=trained.compute_s,
            loss=trained.loss,
            curve=error_curve(self._ranking, self._experiment.soft.curve_points),
            lora_energy=energies.lora,
            head_energy=energies.head,
            exact_energy=energies.exact,
            cosine_mean=cosine_mean,
            cosine_worst=cosine_worst,
            residual_energy=additive_energy(base, residual, self._trainer.scaling, kappa) if residual else 0.0,
            residual_lost=lost,
            residual_lost_energy=lost_energy,
            wall_s=time.monotonic() - started,
        )

    def on_sounding(self, go: SoundingGo) -> Sent:
        """Send a known burst so that the base station can measure the channel."""
        report = self._radio.transmit(go.window, go.burst, [])
        reached(self._name, "sounded", go.window.round_index)
        return Sent(round_index=go.window.round_index, window_index=go.window.index, report=report)

    def on_grant(self, grant: GrantBits) -> Encoded | None:
        """Encode the best update within the budget; a budget of 0 keeps everything in the residual."""
        if self._ranking is None or grant.round_index != self._round_index:
            raise ProtocolError(f"a grant for round {grant.round_index} came without a plan for it")
        if grant.budget_bits == 0:
            return None
        started = time.monotonic()
        rng = random_stream(self._experiment.experiment.seed, "rounding", grant.round_index, self._name)
        update = encode(self._ranking, grant.budget_bits, rng)
        if self._experiment.soft.residual == "on":
            self._memory.remember_file(grant.round_index, update.file)
        fragments = self._cut(update.file, self._ranking.change.base)
        block_bytes = BLOCK_FORMATS[self._experiment.radio.codec].block_bytes
        tagger = FragmentTagger(self._fragment_key, self._run_id, grant.round_index, self._name, block_bytes)
        self._blocks = [block for i, f in enumerate(fragments) for block in tagger.seal(i, f)]
        reached(self._name, "encoded", grant.round_index)
        return Encoded(
            round_index=grant.round_index,
            payload_bits=8 * len(update.file),
            fragments=len(fragments),
            blocks=len(self._blocks),
            components_sent=update.components_sent,
            components_total=update.components_total,
            lora_values_sent=update.lora_values_sent,
            lora_values_total=update.lora_values_total,
            unsent_energy=update.unsent_energy,
            wall_s=time.monotonic() - started,
        )

    def on_data(self, go: DataGo) -> Sent:
        """Put the granted blocks on the air; what failed is granted again in a later window."""
        if go.window.round_index != self._round_index or max(go.burst.block_ids) >= len(self._blocks):
            raise ProtocolError(
                f"a burst was granted in round {go.window.round_index} that this client has no blocks for"
            )
        report = self._radio.transmit(go.window, go.burst, [self._blocks[i] for i in go.burst.block_ids])
        reached(self._name, "sent", go.window.round_index)
        return Sent(round_index=go.window.round_index, window_index=go.window.index, report=report)

    def _take_folded(self, message: FoldedWeights, round_index: int) -> None:
        """Bring the frozen weights up to this round. ProtocolError if an earlier change is missing here."""
        if message.whole:
            tensors = adapter_from_bytes(message.data, "the plan's folded weights")[0] if message.data else {}
            self._folded = split_folded(tensors)[1]
        elif self._folded_round != round_index - 1:
            raise ProtocolError("this client lacks earlier changes of the frozen weights")
        else:
            self._folded = grown(self._folded, change_from_bytes(message.data))
        self._folded_round = round_index
        self._trainer.set_folded(self._folded)

    def _rank(
        self, base: Adapter, delta: Adapter, kappa: float, rank_energies: Energies, gradient: Adapter
    ) -> Ranking:  # fmt: skip
        soft, seed = self._experiment.soft, self._experiment.experiment.seed
        change = Change(
            base, delta, scaling=self._trainer.scaling, kappa=kappa, quant_bits=soft.quant_bits,
            frozen=self._frozen(self._round_index), importance=soft.importance,
            order_seed=derive_seed(seed, "component-order", self._round_index, self._name), rank_energies=rank_energies,
            gradient=gradient,
        )  # fmt: skip
        return rank(soft.compression, change)

    def _residual(self, plan: Plan, base: Adapter) -> tuple[Adapter | None, bool, float]:
        """What the committed round left unsent, as a change of ``base``.

        With it: whether this client's memory of that round is gone, and the energy that ``base`` cannot hold.
        """
        committed = plan.committed
        if committed is None or self._experiment.soft.residual == "off":
            return None, False, 0.0
        self._memory.forget_before(committed.round_index)
        remembered = self._memory.recall(committed.round_index)
        arrived = None if remembered is None else self._arrived(remembered, committed)
        if remembered is None or arrived is None:
            return None, True, 0.0
        if self._experiment.training.exact:
            scaling = self._trainer.scaling
            residual, lost_energy = turned_residual(remembered.base, remembered.delta, arrived, base, scaling)
            return decayed(residual, self._experiment.soft.residual_decay), False, lost_energy
        residual = new_residual(remembered.delta, arrived.delta)
        return decayed(residual, self._experiment.soft.residual_decay), False, 0.0

    def _arrived(self, remembered: RememberedRound, committed: Participation) -> DecodedUpdate | None:
        """What the base station committed of a remembered round; None if its file is gone."""
        delivered = delivered_indices(committed.delivered, committed.fragments)
        if not delivered:
            return DecodedUpdate(zeros_like(remembered.base), (), 0)
        if remembered.file is None:
            return None
        check_sum(remembered.file)
        pieces = self._cut(remembered.file, remembered.base)
        return join_fragments(
            {i: pieces[i] for i in delivered}, payload_bytes=len(remembered.file),
            fragment_bytes=self._experiment.radio.fragment_bytes, base=remembered.base,
            quant_bits=self._experiment.soft.quant_bits, frozen=self._frozen(committed.round_index),
            layout=LAYOUT_OF[self._experiment.soft.compression],
        )  # fmt: skip

    def _cut(self, file: bytes, base: Adapter) -> list[bytes]:
        return cut_fragments(file, self._experiment.radio.fragment_bytes, base)

    def _frozen(self, round_index: int) -> Frozen:
        return self._experiment.training.frozen(round_index)
