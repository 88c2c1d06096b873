"""The rules by their name in ``tsfa.allocation`` (docs/algorithms.md, section 6; what is fixed here is ours)."""

from __future__ import annotations

import time

import msgspec
import numpy as np

from base_station.allocation.goals import earliest_finish, maximum_rate, proportional_fair
from base_station.allocation.interface import (
    Allocator,
    Grant,
    check_answer,
    grants_of,
    judged,
    sending,
    silent,
)
from base_station.allocation.parts import equal_grants, rate_squares
from base_station.allocation.points import DEFAULT_SHARE, best_points, fixed_points, point_of_share
from base_station.tsfa.problem import Allocation, ClientInstance, Instance
from base_station.tsfa.solver import objective_of, solve
from protocol.configuration import TsfaTable
from protocol.schemes import AllocationRule

MOST_SHARES = 32
"""Common shares that are tried."""


def allocate(instance: Instance, tsfa: TsfaTable) -> Allocation:
    """The grants of one round by ``tsfa.allocation``, checked. The order of the clients does not matter.

    Raises ConfigurationError for an instance that makes no sense.
    """
    started = time.perf_counter()
    ordered = msgspec.structs.replace(instance, clients=sorted(instance.clients, key=lambda c: c.name))
    answer = ALLOCATORS[tsfa.allocation](ordered, tsfa)
    given = {c.name: c for c in answer.clients}
    clients = [given[c.name] for c in instance.clients]
    check_answer(instance, clients, limited=tsfa.allocation != "ideal")
    return msgspec.structs.replace(answer, clients=clients, solve_s=time.perf_counter() - started)


def _tsfa(instance: Instance, _: TsfaTable) -> Allocation:
    """As it is; with ``genie`` the instance is another one (``base_station.genie``)."""
    return solve(instance)


def _without_queues(instance: Instance, tsfa: TsfaTable) -> Allocation:
    """A second costs in every round what it did in the first."""
    price_s = tsfa.latency_budget_s
    clients = [msgspec.structs.replace(c, queue_s=price_s) for c in instance.clients]
    solved = solve(msgspec.structs.replace(instance, queue_s=price_s, clients=clients))
    return judged(instance, solved.clients, solved)


def _common_sparsity(instance: Instance, _: TsfaTable) -> Allocation:
    """All that send send the same share of their update (to the next smaller point); the best share of those tried."""
    shares = sorted({round(bits / c.curve[-1][0], 12) for c in instance.clients for bits, _ in c.curve[1:]})
    kept = np.unique(np.linspace(0, max(len(shares) - 1, 0), MOST_SHARES).round().astype(int)) if shares else ()
    answers = [solve(_at_share(instance, shares[i])) for i in kept] or [solve(instance)]
    best = min(answers, key=lambda answer: answer.objective)
    bound = min(answer.lower_bound for answer in answers)
    silence = objective_of(instance, [silent(c) for c in instance.clients])
    gap = (best.objective - bound) / (silence - bound) if silence > bound else 0.0
    exact = all(answer.exact or answer.lower_bound >= best.objective for answer in answers)
    return msgspec.structs.replace(best, lower_bound=bound, gap=gap, exact=exact)


def _at_share(instance: Instance, share: float) -> Instance:
    def at_share(client: ClientInstance) -> ClientInstance:
        point = point_of_share(client, share)
        return msgspec.structs.replace(client, curve=[client.curve[i] for i in ((0, point) if point else (0,))])

    return msgspec.structs.replace(instance, clients=[at_share(c) for c in instance.clients])


def _equal_fixed(instance: Instance, tsfa: TsfaTable) -> Allocation:
    """Equal parts of the band, the same share of everybody's update."""
    return judged(instance, fixed_points(instance, _equal_among_heard(instance), tsfa.fixed_share or DEFAULT_SHARE))


def _equal_adaptive(instance: Instance, _: TsfaTable) -> Allocation:
    """Equal parts of the band, everybody its best point at its queue."""
    return best_points(instance, _equal_among_heard(instance))


def _equal_among_heard(instance: Instance) -> list[Grant | None]:
    squares = rate_squares(instance)
    return equal_grants(instance, squares, np.flatnonzero(squares.any(axis=(1, 2))).tolist())


def _equal_finish(instance: Instance, tsfa: TsfaTable) -> Allocation:
    """The same share of everybody's update; RBs so that the last one is done soonest."""
    share = tsfa.fixed_share or DEFAULT_SHARE
    solved = earliest_finish(instance, share)
    points = {c.name: [bits for bits, _ in c.curve] for c in instance.clients}
    clients = [
        sending(client, grant, points[client.name].index(given.bits)) if grant else silent(client)
        for client, given, grant in zip(instance.clients, solved.clients, grants_of(solved), strict=True)
    ]
    return judged(instance, clients, solved)


def _maximum_rate(instance: Instance, _: TsfaTable) -> Allocation:
    """RBs of the largest sum of goodput, then everybody its best point."""
    return _then_best_points(instance, maximum_rate(instance))


def _proportional_fair(instance: Instance, _: TsfaTable) -> Allocation:
    """RBs of the largest sum of log goodput, then everybody its best point."""
    return _then_best_points(instance, proportional_fair(instance))


def _then_best_points(instance: Instance, solved: Allocation) -> Allocation:
    return judged(instance, best_points(instance, grants_of(solved)).clients, solved)


def _best_k(instance: Instance, tsfa: TsfaTable) -> Allocation:
    """Equal parts for the k clients of the highest mean goodput over all grants of the band; each its best point."""
    squares = rate_squares(instance)
    quality = squares.mean(axis=(1, 2)) if squares.size else np.zeros(len(squares))
    heard = int((quality > 0.0).sum())
    k = min(tsfa.best_k or -(-heard // 2), heard)
    members = sorted(np.argsort(-quality, kind="stable")[:k].tolist())
    return best_points(instance, equal_grants(instance, squares, members))


def _ideal(instance: Instance, _: TsfaTable) -> Allocation:
    """Whole updates from all that are heard, each as if it had the band to itself and all the time it takes."""
    clients = []
    for client, square in zip(instance.clients, rate_squares(instance), strict=True):
        last = len(client.curve) - 1
        if last and square.any():
            row, start = np.unravel_index(int(square.argmax()), square.shape)
            clients.append(sending(client, Grant(int(start), int(row) + 1), last))
        else:
            clients.append(silent(client))
    return judged(instance, clients)


ALLOCATORS: dict[AllocationRule, Allocator] = {
    "tsfa": _tsfa,
    "tsfa-no-queue": _without_queues,
    "tsfa-common-sparsity": _common_sparsity,
    "equal-fixed": _equal_fixed,
    "equal-adaptive": _equal_adaptive,
    "equal-finish": _equal_finish,
    "maximum-rate": _maximum_rate,
    "proportional-fair": _proportional_fair,
    "best-k": _best_k,
    "genie": _tsfa,
    "ideal": _ideal,
}
