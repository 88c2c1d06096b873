"""Everything a round is played with: the parts that stay the same from round to round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from base_station.aggregation import Aggregator
from base_station.clients import Roster
from base_station.folding import Folding
from base_station.progress import Progress
from base_station.store.run_store import RunStore
from protocol.adapters import Adapter
from protocol.configuration import Experiment
from protocol.folding import Folded
from radio.interface import BaseStationRadio
from radio.link_tables import LinkTables
from radio.modem.mcs import BLOCK_FORMATS
from radio.numerology import Numerology


@dataclass(frozen=True)
class Verdict:
    """How good a global adapter is on a set of samples."""

    loss: float
    accuracy: float
    macro_f1: float | None
    """None for a language model."""
    interval: tuple[float, float]
    """95 % confidence interval of the accuracy."""
    client_accuracy: Mapping[str, float]
    """Accuracy on each client's own label mix."""
    texts: int
    """Samples judged, images too."""


class Evaluator(Protocol):
    """Judges adapters; the base station's model sits behind it."""

    def validate(self, adapter: Adapter) -> Verdict:
        """On the validation texts of every round."""

    def test(self, adapter: Adapter) -> Verdict:
        """On the test texts, once, at the end."""

    def set_folded(self, folded: Folded) -> None:
        """Judge with these changes of the frozen weights from now on."""


@dataclass(frozen=True)
class Lab:
    """The parts of a running experiment."""

    experiment: Experiment
    run_id: str
    session: str
    """New each time a base station starts."""
    radio: BaseStationRadio
    roster: Roster
    evaluator: Evaluator
    aggregator: Aggregator
    folding: Folding | None
    """Only with ``training.aggregation = "exact-fold"``."""
    store: RunStore
    progress: Progress
    numerology: Numerology
    tables: LinkTables
    scaling: float
    """alpha / r."""
    samples: Mapping[str, int]
    """Training texts of each client."""
    compute_s: Mapping[str, float]
    """Model time of each client's local training, from the run's device profile."""
    fragment_keys: Mapping[str, bytes]
    """Key of each client's fragment tags, for this run."""

    @property
    def block_bytes(self) -> int:
        """Payload of a code block of the run's codec."""
        return BLOCK_FORMATS[self.experiment.radio.codec].block_bytes
