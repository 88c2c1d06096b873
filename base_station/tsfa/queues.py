"""Virtual latency queues: they turn a long-term latency budget into a price per second (Lyapunov; ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def next_queue_s(queue_s: float, realised_latency_s: float, budget_s: float) -> float:
    """The queue after a round, s: it grows by what the round took beyond the budget, never below 0."""
    return max(queue_s + realised_latency_s - budget_s, 0.0)


def realised_latency_s(grant_s: float, airtime_s: float, deadline_s: float) -> float:
    """Latency a client is charged, s: the barrier plus its own airtime with retransmissions, up to the deadline."""
    return min(grant_s + airtime_s, deadline_s)


def mean_latency_limit_s(first_queue_s: float, last_queue_s: float, rounds: int, budget_s: float) -> float:
    """What the mean latency of a record cannot exceed, s: budget + (Q(T) - Q(0)) / T, whatever the policy."""
    return budget_s + (last_queue_s - first_queue_s) / rounds


@dataclass(frozen=True)
class Feasibility:
    """Whether any policy can meet the budget: sending nothing takes ``mean_grant_s``, and nothing is faster."""

    mean_grant_s: float
    budget_s: float

    @property
    def feasible(self) -> bool:
        """True if the mean time before the grants is below the budget."""
        return self.mean_grant_s < self.budget_s

    @property
    def sentence(self) -> str:
        """One line for a report or a warning."""
        figures = f"{self.mean_grant_s:.4g} s, the latency budget {self.budget_s:g} s"
        if self.feasible:
            return f"the latency budget can be met: training and sounding take {figures}"
        return f"no allocation can meet the latency budget: training and sounding alone take {figures}"


def feasibility(grant_s: Sequence[float], budget_s: float) -> Feasibility:
    """Judge a budget from the times t_grant, s, of at least one round."""
    return Feasibility(sum(grant_s) / len(grant_s), budget_s)
