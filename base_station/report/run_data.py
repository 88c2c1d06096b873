"""Everything a report shows of a run, read once in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_station.report.palette import ClientStyle, client_styles
from base_station.report.received import ReceivedBurst, last_received
from base_station.store.records import ClientRoundRecord, RoundRecord, SpectrumRecord
from base_station.store.run_store import RunStore
from base_station.store.summary import summary
from protocol.configuration import Experiment
from radio.numerology import Numerology, numerology_at


@dataclass(frozen=True)
class RunData:
    """A run as the report sees it; ``clients`` and ``rounds`` are in order of rounds."""

    directory: Path
    experiment: Experiment
    manifest: dict[str, Any]
    facts: dict[str, Any]
    summary: dict[str, Any]
    rounds: list[RoundRecord]
    clients: list[ClientRoundRecord]
    bursts: list[ReceivedBurst]
    """Each client's last data burst of the last round in which one was detected."""
    spectrum: SpectrumRecord | None
    """Of that round's first window with data."""
    styles: dict[str, ClientStyle]

    @property
    def names(self) -> list[str]:
        """Clients in the experiment's order."""
        return [member.name for member in self.experiment.clients.members]

    @property
    def rb_total(self) -> int:
        """Resource blocks of the band."""
        return self.numerology.rb_total

    @property
    def numerology(self) -> Numerology:
        """Grid of the run's sample rate."""
        return numerology_at(self.experiment.radio.sample_rate_hz)

    def of_client(self, name: str) -> list[ClientRoundRecord]:
        """One client's rounds."""
        return [c for c in self.clients if c.client == name]

    def took_part(self) -> list[ClientRoundRecord]:
        """Client rounds that counted (``weight > 0``)."""
        return [c for c in self.clients if c.weight > 0]


def read_run(directory: Path) -> RunData:
    """Read a run, finished, running or dead. Raises RunError."""
    with RunStore.read(directory) as store, store.snapshot():
        experiment = store.experiment
        bursts, spectrum = last_received(store)
        return RunData(
            directory=store.directory,
            experiment=experiment,
            manifest=store.manifest,
            facts=store.facts(),
            summary=summary(store),
            rounds=list(store.rounds()),
            clients=list(store.clients()),
            bursts=bursts,
            spectrum=spectrum,
            styles=client_styles([member.name for member in experiment.clients.members]),
        )
