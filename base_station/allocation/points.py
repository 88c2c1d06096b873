"""What clients send with RBs that are given: a fixed share of their curve, or their best point."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from base_station.allocation.interface import Grant, limit_s, sending, silent
from base_station.tsfa.problem import Allocation, ClientAllocation, ClientInstance, Instance
from base_station.tsfa.solver import rate_at, solve

DEFAULT_SHARE = 0.1
"""``tsfa.fixed_share`` where it is not set."""
ROUNDING = 1e-9
"""Of a share, relative."""


def point_of_share(client: ClientInstance, share: float) -> int:
    """The largest point with at most this share of the whole update's bits."""
    most = share * client.curve[-1][0] * (1 + ROUNDING)
    return max(point for point, (bits, _) in enumerate(client.curve) if bits <= most)


def point_in_time(instance: Instance, client: ClientInstance, share: float, rate_bps: float) -> int:
    """The largest point of the client's share that meets the deadline at this goodput; 0 (silence) if none does."""
    ready_s = client.compute_s + client.overhead_s
    points = range(point_of_share(client, share), 0, -1)
    return next((p for p in points if ready_s + client.curve[p][0] / rate_bps <= limit_s(instance)), 0)


def fixed_points(instance: Instance, grants: Sequence[Grant | None], share: float) -> list[ClientAllocation]:
    """Everybody sends the same share of its update, or what of it the deadline allows."""
    answer = []
    for client, grant in zip(instance.clients, grants, strict=True):
        point = point_in_time(instance, client, share, rate_at(client, *grant)) if grant else 0
        answer.append(sending(client, grant, point) if grant and point else silent(client))
    return answer


def best_points(instance: Instance, grants: Sequence[Grant | None]) -> Allocation:
    """Everybody sends its best point in its RBs, or nothing: TSFA with nothing else left to choose."""
    pairs = zip(instance.clients, grants, strict=True)
    clients = [_only(client, grant, instance.placed) for client, grant in pairs]
    return solve(msgspec.structs.replace(instance, clients=clients))


def _only(client: ClientInstance, grant: Grant | None, placed: bool) -> ClientInstance:
    """The client with no other grant to use."""
    before = [0.0] * ((grant.rb_start if placed else grant.rb_count - 1) if grant else 0)
    row = [*before, rate_at(client, *grant)] if grant else []
    if not placed:
        return msgspec.structs.replace(client, rate_bps=row)
    rows: list[list[float]] = [[]] * (grant.rb_count - 1) + [row] if grant else []
    return msgspec.structs.replace(client, rate_bps=None, rate_bps_at=rows)
