"""RBs by another goal than TSFA's, found by its solver: rates, or the time at which the last one is done.

A TSFA problem in which everybody has one bit to send, worth C, at a price of 1 a second, is solved by the grants of
the largest sum of C - 1 / rate: with 1 / (C - u) in the place of the rates, of the largest sum of u (ours).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from base_station.allocation.interface import limit_s
from base_station.allocation.points import point_in_time
from base_station.tsfa.problem import Allocation, ClientInstance, CurvePoint, Instance
from base_station.tsfa.solver import solve


def maximum_rate(instance: Instance) -> Allocation:
    """Grants of the largest sum of goodput; bits, energies and latencies of the answer mean nothing."""
    highest = max(_rates(instance), default=1.0)
    return _most_useful(instance, lambda rate: rate / highest, 1.0)


def proportional_fair(instance: Instance) -> Allocation:
    """Grants to as many clients as the band can serve, of those the largest sum of log goodput; the rest as above."""
    lowest, highest = min(_rates(instance), default=1.0), max(_rates(instance), default=1.0)
    span = math.log(highest) - math.log(lowest)
    # So much that no other client's gain outweighs it.
    served = 1.0 + len(instance.clients) * span
    return _most_useful(instance, lambda rate: served + math.log(rate) - math.log(lowest), served + span)


def earliest_finish(instance: Instance, share: float) -> Allocation:
    """Everybody sends the same share of its update so that the last one is done soonest.

    As many as can within the deadline; a client that could not even alone sends what of its share it can. Names, RBs,
    bits and latencies of the answer are real, energies are not.
    """
    clients = []
    for client in instance.clients:
        fastest = max(_client_rates(client), default=0.0)
        point = point_in_time(instance, client, share, fastest) if fastest > 0.0 else 0
        clients.append((client, client.curve[point][0]))
    longest_s = min(_slowest_s(clients), limit_s(instance))
    # One more client is worth any time that the others can take.
    ends = [_one_point(client, bits, 1.0 + longest_s) for client, bits in clients]
    return solve(msgspec.structs.replace(instance, V=1.0, latency_model="round", queue_s=1.0, clients=ends))


def _slowest_s(clients: list[tuple[ClientInstance, float]]) -> float:
    """The longest that anybody could take, s."""
    times = (c.compute_s + c.overhead_s + bits / min(_client_rates(c)) for c, bits in clients if bits)
    return max(times, default=0.0)


def _most_useful(instance: Instance, utility: Callable[[float], float], highest: float) -> Allocation:
    worth = highest + 1.0

    def surrogate(rate: float) -> float:
        return 1.0 / (worth - utility(rate)) if rate > 0.0 else 0.0

    clients = [
        msgspec.structs.replace(_one_point(_with_rates(c, surrogate), 1, worth), queue_s=1.0, overhead_s=0.0)
        for c in instance.clients
    ]
    return solve(msgspec.structs.replace(instance, V=1.0, latency_model="per-client", deadline_s=None, clients=clients))


def _one_point(client: ClientInstance, bits: float, worth: float) -> ClientInstance:
    """The client with one thing to send, if any."""
    curve: list[CurvePoint] = [(0, worth), (bits, 0.0)] if bits else [(0, worth)]
    return msgspec.structs.replace(client, weight=1.0, queue_s=0.0, curve=curve)


def _with_rates(client: ClientInstance, changed: Callable[[float], float]) -> ClientInstance:
    if client.rate_bps_at is not None:
        rows = [[changed(rate) for rate in row] for row in client.rate_bps_at]
        return msgspec.structs.replace(client, rate_bps_at=rows)
    return msgspec.structs.replace(client, rate_bps=[changed(rate) for rate in client.rate_bps or []])


def _rates(instance: Instance) -> list[float]:
    return [rate for client in instance.clients for rate in _client_rates(client)]


def _client_rates(client: ClientInstance) -> list[float]:
    rows = client.rate_bps_at if client.rate_bps_at is not None else [client.rate_bps or []]
    return [rate for row in rows for rate in row if rate > 0.0]
