"""What a run is judged by, read from its database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from base_station.store.language import known_perplexity
from base_station.store.run_store import RunStore
from protocol.configuration import Experiment

SMOOTHING_ROUNDS = 3
"""Validation accuracy is averaged over so many rounds before a target counts as reached (ours)."""
PLATEAU_PARTS = 3
"""The plateau rule (ours) looks at the last two of so many equal parts of a run."""
PLATEAU_MOVE = 0.01
"""A run has converged if its last part differs by less than this from the part before."""


@dataclass(frozen=True)
class Measure:
    """One column of a comparison."""

    key: str
    title: str
    unit: str
    share: bool
    """A share of 1, compared by its difference in points; else a cost, compared by its ratio."""
    digits: int
    per: float = 1.0
    """What a value is divided by to be shown in ``unit``."""
    optional: bool = False
    """Left out of tables where no run has it."""


MEASURES = (
    Measure("accuracy", "Accuracy", "", share=True, digits=3),
    Measure("worst_client_accuracy", "Worst client", "", share=True, digits=3),
    Measure("macro_f1", "Macro-F1", "", share=True, digits=3, optional=True),
    Measure("perplexity", "Perplexity", "", share=False, digits=2, optional=True),
    Measure("plateau_accuracy", "Plateau", "", share=True, digits=3),
    Measure("accuracy_at_airtime", "At equal airtime", "", share=True, digits=3),
    Measure("airtime_s", "Airtime", "s", share=False, digits=2),
    Measure("air_bits", "On air", "Mbit", share=False, digits=2, per=1e6),
    Measure("energy_j", "TX energy", "mJ", share=False, digits=2, per=1e-3),
    Measure("rounds_to_target", "Rounds to target", "", share=False, digits=1),
    Measure("airtime_to_target_s", "Airtime to target", "s", share=False, digits=2),
    Measure("latency_s", "Mean latency", "s", share=False, digits=3),
    Measure("latency_over_budget", "Of the budget", "", share=False, digits=3),
    Measure("sparsity", "Sparsity", "", share=True, digits=3),
    Measure("cosine", "Worst |cosine|", "", share=True, digits=3),
)
"""In the order in which they are shown. Accuracy, worst client, macro-F1 and perplexity are of the test texts, the
others' accuracies of the validation texts."""


@dataclass(frozen=True)
class Yardstick:
    """What the runs of a comparison are measured at; None where it cannot be."""

    target: float | None
    """Validation accuracy to reach."""
    airtime_s: float | None
    """Airtime at which accuracies are compared."""


@dataclass(frozen=True)
class RunCurve:
    """One run as far as it has come: its closing figures, and how it got there. Sequences are by round."""

    directory: Path
    seed: int
    iq: bool
    version: str
    """Commit, or version, of the airtune that made it."""
    seconds_per_step: float | None
    """Of its device profile, which ``measured-here`` makes anew for every run."""
    accuracy: float | None
    worst_client_accuracy: float | None
    macro_f1: float | None
    perplexity: float | None
    """Of a language model, on the test texts."""
    validation: Sequence[float]
    """Validation accuracy after each round."""
    airtime_s: Sequence[float]
    """Airtime so far."""
    air_bits: int
    energy_j: float
    latency_s: float | None
    latency_budget_s: float
    sparsity: float | None
    """Mean share of an update's values that stayed unsent."""
    cosine: float | None
    """Largest |cosine| between rank components of a factor: mean over factors, clients and rounds, after training."""
    conditions: Mapping[str, str]
    """What runs under one seed must have in common to be paired, by its name."""

    @property
    def finished(self) -> bool:
        """Whether it was played to its end and tested."""
        return self.accuracy is not None

    @property
    def smoothed(self) -> list[float]:
        """Validation accuracy, mean of the last ``SMOOTHING_ROUNDS`` rounds."""
        windows = (self.validation[max(0, t + 1 - SMOOTHING_ROUNDS) : t + 1] for t in range(len(self.validation)))
        return [sum(window) / len(window) for window in windows]

    @property
    def plateau(self) -> float | None:
        """Mean validation accuracy of the last third, if it is within a point of the third before."""
        part = len(self.validation) // PLATEAU_PARTS
        if part == 0:
            return None
        last, before = (sum(p) / part for p in (self.validation[-part:], self.validation[-2 * part : -part]))
        return last if abs(last - before) < PLATEAU_MOVE else None

    def accuracy_at(self, airtime_s: float) -> float | None:
        """Smoothed validation accuracy after the last round that ended within ``airtime_s``.

        None if none did, or if the run is not finished and has not come that far yet.
        """
        if not (self.finished or (self.airtime_s and self.airtime_s[-1] >= airtime_s)):
            return None
        within = sum(spent <= airtime_s * (1.0 + 1e-9) for spent in self.airtime_s)
        return self.smoothed[within - 1] if within else None

    def values(self, yardstick: Yardstick) -> dict[str, float | None]:
        """Value of each measure by key; None where it is not known, or the target accuracy not reached.

        What is counted over a whole run is not known of one that is not finished: half a run costs half.
        """
        target, airtime_s = yardstick.target, yardstick.airtime_s
        reached = None if target is None else next((t for t, v in enumerate(self.smoothed) if v >= target), None)
        return {
            "accuracy": self.accuracy,
            "worst_client_accuracy": self.worst_client_accuracy,
            "macro_f1": self.macro_f1,
            "perplexity": self.perplexity,
            "plateau_accuracy": self.plateau if self.finished else None,
            "accuracy_at_airtime": None if airtime_s is None else self.accuracy_at(airtime_s),
            "airtime_s": self.airtime_s[-1] if self.finished else None,
            "air_bits": float(self.air_bits) if self.finished else None,
            "energy_j": self.energy_j if self.finished else None,
            "rounds_to_target": None if reached is None else float(reached + 1),
            "airtime_to_target_s": None if reached is None else self.airtime_s[reached],
            "latency_s": self.latency_s,
            "latency_over_budget": None if self.latency_s is None else self.latency_s / self.latency_budget_s,
            "sparsity": self.sparsity,
            "cosine": self.cosine,
        }


def read_curve(directory: Path) -> RunCurve:
    """Read one run, finished or not. Raises RunError."""
    with RunStore.read(directory) as store, store.snapshot():
        experiment = store.experiment
        rounds = store.query("SELECT accuracy, airtime_s, air_bits FROM rounds ORDER BY round_index")
        energy_j = store.query("SELECT TOTAL(transmit_energy_j) FROM client_rounds")[0][0]
        latency_s, sparsity, cosine = store.query(
            "SELECT AVG(latency_s), AVG(sparsity), AVG(cosine_mean) FROM client_rounds WHERE weight > 0"
        )[0]
        return RunCurve(
            directory=directory,
            seed=experiment.experiment.seed,
            iq=experiment.radio.driver != "abstract",
            version=store.manifest["commit"] or store.manifest["versions"].get("airtune", ""),
            seconds_per_step=store.manifest.get("device", {}).get("seconds_per_step"),
            accuracy=store.fact("final_accuracy"),
            worst_client_accuracy=store.fact("final_worst_client_accuracy"),
            macro_f1=store.fact("final_macro_f1"),
            perplexity=known_perplexity(experiment, store.fact("final_loss")),
            validation=[row[0] for row in rounds],
            airtime_s=list(accumulate(row[1] for row in rounds)),
            air_bits=sum(row[2] for row in rounds),
            energy_j=energy_j,
            latency_s=latency_s,
            latency_budget_s=experiment.tsfa.latency_budget_s,
            sparsity=sparsity,
            cosine=cosine,
            conditions=_conditions(experiment),
        )


def _conditions(experiment: Experiment) -> dict[str, str]:
    table, clients = experiment.experiment, experiment.clients.members
    return {
        "data": repr(experiment.data),
        "number of texts to validate and test on": repr((table.validation_texts, table.test_texts)),
        "rounds": repr(table.rounds),
        "clients": repr([(client.name, client.distance_m) for client in clients]),
    }
