"""What the base station carries from one committed round to the next, besides the adapter."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from base_station.channel import Carrier
from protocol.configuration import Experiment
from protocol.messages import Participation
from radio.adaptation import LinkState


class ServerState(Struct):
    """Queues, head scale, carriers, link offsets, and the last committed participation of every client."""

    round_index: int = 0
    """Rounds committed so far."""
    queue_s: dict[str, float] = field(default_factory=dict)
    common_queue_s: float = 0.0
    kappa: float | None = None
    carriers: dict[str, Carrier] = field(default_factory=dict)
    links: dict[str, LinkState] = field(default_factory=dict)
    participations: dict[str, Participation] = field(default_factory=dict)

    @classmethod
    def initial(cls, experiment: Experiment) -> ServerState:
        """Before the first round: every queue starts at the latency budget (docs/algorithms.md, section 4)."""
        budget = experiment.tsfa.latency_budget_s
        names = [m.name for m in experiment.clients.members]
        return cls(
            queue_s=dict.fromkeys(names, budget),
            common_queue_s=budget,
            links={name: LinkState(experiment.radio.snr_margin_db) for name in names},
        )

    def to_bytes(self) -> bytes:
        """JSON, as kept in the run store."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ServerState:
        """Read what ``to_bytes`` wrote."""
        return msgspec.json.decode(data, type=cls)
