"""Control messages: the only things base station and clients say to each other besides bursts.

Every message is a msgspec struct, decoded against its schema. What a client may send is at
most ``CLIENT_MESSAGE_LIMIT`` bytes and holds no array but the error curve, so an update cannot
leave a client by this road (docs/design.md, section 2).
"""

from __future__ import annotations

from typing import Annotated, Union

from msgspec import Meta, Struct

from protocol.bursts import DataBurst, SoundingBurst, TransmitReport, Window

PROTOCOL_VERSION = 2
CLIENT_MESSAGE_LIMIT = 8 * 1024
"""Largest message from a client, bytes; enforced by the socket and again by the decoder."""
STATION_MESSAGE_LIMIT = 256 * 1024 * 1024
"""Largest message from the base station (it carries the adapter), bytes."""

Text = Annotated[str, Meta(max_length=512)]
Round = Annotated[int, Meta(ge=0, le=1_000_000)]
Real = Annotated[float, Meta(ge=-1e30, le=1e30)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e30)]
Bits = Annotated[int, Meta(ge=0, le=2**40)]
CurvePoint = tuple[Bits, NonNegative]


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all control messages."""


# ---- client to base station -------------------------------------------------------------


class Hello(Message, tag="hello", frozen=True):
    """First word of a client process; ``instance`` tells one process of that name from the next."""

    name: Annotated[str, Meta(max_length=48)]
    instance: Annotated[str, Meta(min_length=8, max_length=32)]
    version: int = PROTOCOL_VERSION


class Heartbeat(Message, tag="heartbeat", frozen=True):
    """Sent every second by the client's input/output thread; ``stage`` is for the progress display."""

    stage: Annotated[str, Meta(max_length=24)] = ""
    round_index: Round = 0


class Ready(Message, tag="ready", frozen=True):
    """Local training is done; the error curve is the only array."""

    round_index: Round
    samples: Annotated[int, Meta(ge=1, le=2**40)]
    compute_s: Annotated[float, Meta(ge=0.0, le=1e6)]
    """Model time of local training."""
    loss: Real
    curve: Annotated[list[CurvePoint], Meta(min_length=1, max_length=64)]
    """(bits with headers before FEC, energy that stays unsent), bits ascending from 0."""
    lora_energy: NonNegative
    head_energy: NonNegative
    """Squared norm of the head's update, unscaled."""
    exact_energy: NonNegative
    """Exact energy of all LoRA changes from Gram matrices; lora_energy is the additive one."""
    cosine_mean: Annotated[float, Meta(ge=0.0, le=1.001)]
    cosine_worst: Annotated[float, Meta(ge=0.0, le=1.001)]
    residual_energy: NonNegative
    """Energy of the residual the client started the round with, counted like the curve: as a change of this round's
    adapter, LoRA plus kappa times head."""
    residual_lost: bool = False
    """The client's own memory of its last committed round is gone; its residual restarts at zero."""
    residual_lost_energy: NonNegative = 0.0
    """Energy of the last residual that the turned factors could not hold (``exact-drop``, ``exact-fold``)."""
    wall_s: NonNegative = 0.0


class Encoded(Message, tag="encoded", frozen=True):
    """The update is encoded within the granted budget."""

    round_index: Round
    payload_bits: Bits
    """Size of the update file."""
    fragments: Annotated[int, Meta(ge=0, le=2**20)]
    blocks: Annotated[int, Meta(ge=0, le=2**24)]
    """Code blocks of all fragments; every fragment but the last has the full number."""
    components_sent: Annotated[int, Meta(ge=0, le=2**31)]
    components_total: Annotated[int, Meta(ge=1, le=2**31)]
    lora_values_sent: Annotated[int, Meta(ge=0, le=2**40)]
    lora_values_total: Annotated[int, Meta(ge=1, le=2**40)]
    """Sparsity is 1 - sent / total over the LoRA values."""
    unsent_energy: NonNegative
    """Energy that stays unsent (the curve's value at this point)."""
    wall_s: NonNegative = 0.0


class Sent(Message, tag="sent", frozen=True):
    """A burst went out in ``window_index``."""

    round_index: Round
    window_index: Annotated[int, Meta(ge=0, le=100_000)]
    report: TransmitReport


class Failed(Message, tag="failed", frozen=True):
    """The client cannot go on with this round; the base station leaves it out."""

    round_index: Round
    reason: Text


# ---- base station to client -------------------------------------------------------------


class Welcome(Message, tag="welcome", frozen=True):
    """Answer to Hello: the resolved experiment and this client's fragment key for this run."""

    run_id: Annotated[str, Meta(max_length=64)]
    experiment_json: Annotated[bytes, Meta(max_length=2**20)]
    fragment_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    device_json: Annotated[bytes, Meta(max_length=2**16)]
    radio_address: Text
    """Where the client's radio finds the medium (simulated radios)."""


class Refused(Message, tag="refused", frozen=True):
    """Answer to Hello of a client that may not join; ``retry`` if only the moment is wrong."""

    reason: Text
    retry: bool = False


class Participation(Struct, frozen=True, forbid_unknown_fields=True):
    """What the base station committed of this client, the last round it took part in."""

    round_index: Round
    delivered: bytes
    """Bitmap, most significant bit first: fragment i arrived and was aggregated."""
    fragments: Annotated[int, Meta(ge=0, le=2**20)]


class FoldedWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """What was folded into the frozen weights (``exact-fold``), safetensors; no bytes: nothing."""

    whole: bool
    """All rounds' sum, (d, k) a module; else the low-rank factors of the last round's change."""
    data: bytes


class Plan(Message, tag="plan", frozen=True):
    """Start of a round: the global adapter and what was committed of the round before."""

    round_index: Round
    adapter: bytes
    """safetensors file of the global adapter and head, float32; on the wire in frames of its own."""
    committed: Participation | None
    kappa: Annotated[float, Meta(ge=0.0, le=1e30)] | None
    """Head energy scale; None in the first round: the client sets its own."""
    folded: FoldedWeights | None = None
    """Only with ``training.aggregation = "exact-fold"``."""


class SoundingGo(Message, tag="sounding-go", frozen=True):
    """The base station is receiving: sound now."""

    window: Window
    burst: SoundingBurst


class GrantBits(Message, tag="grant", frozen=True):
    """Outcome of TSFA for this client: encode an update of at most ``budget_bits`` (0: stay silent)."""

    round_index: Round
    budget_bits: Bits


class DataGo(Message, tag="data-go", frozen=True):
    """The base station is receiving: send these blocks now."""

    window: Window
    burst: DataBurst


class Finish(Message, tag="finish", frozen=True):
    """The run is over (or was given up)."""

    reason: Text = ""


ClientMessage = Union[Hello, Heartbeat, Ready, Encoded, Sent, Failed]  # noqa: UP007
StationMessage = Union[Welcome, Refused, Plan, SoundingGo, GrantBits, DataGo, Finish]  # noqa: UP007
