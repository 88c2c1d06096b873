"""Every placement of a small TSFA instance, by the words of the contract, and random small instances."""

import dataclasses
import itertools
import random

import pytest

from base_station.tsfa.problem import ClientInstance, Instance

CLOSE = 1e-9


@dataclasses.dataclass(frozen=True)
class Answer:
    """Objective, then the tie-breaks."""

    objective: float
    largest_latency_s: float
    rb_count: int


def usable(instance, client):
    """(first RB, RBs, goodput) of every placement the client may use, by the words of the contract."""
    for count, start in itertools.product(range(1, instance.rb_total + 1), range(instance.rb_total)):
        if start + count <= instance.rb_total:
            if client.rate_bps is not None:
                rate = client.rate_bps[count - 1] if count <= len(client.rate_bps) else 0.0
            else:
                row = client.rate_bps_at[count - 1] if count <= len(client.rate_bps_at) else []
                rate = row[start] if start < len(row) else 0.0
            if rate > 0.0:
                yield start, count, rate


def choices(instance, client):
    """(first RB, RBs, weighted energy, latency) of everything the client may do, silence first."""
    scale = instance.V * client.weight
    yield 0, 0, scale * client.curve[0][1], client.compute_s
    for start, count, rate in usable(instance, client):
        for bits, energy in client.curve[1:]:
            latency = client.compute_s + client.overhead_s + bits / rate
            if instance.deadline_s is None or latency <= instance.deadline_s:
                yield start, count, scale * energy, latency


def enumerate_answers(instance):
    """Every allowed allocation, grants in any order along the band, as an Answer."""
    options = [list(choices(instance, client)) for client in instance.clients]
    price = [c.queue_s if instance.latency_model == "per-client" else 0.0 for c in instance.clients]

    def extend(index, taken, priced, largest):
        if index == len(options):
            total = priced + (instance.queue_s * largest if instance.latency_model == "round" else 0.0)
            yield Answer(total, largest, sum(last - first + 1 for first, last in taken))
            return
        for start, count, energy, latency in options[index]:
            first, last = start, start + count - 1
            far = instance.guard_rb
            if count and not all(first - b - 1 >= far or a - last - 1 >= far for a, b in taken):
                continue
            grants = [*taken, (first, last)] if count else taken
            yield from extend(index + 1, grants, priced + energy + price[index] * latency, max(largest, latency))

    yield from extend(0, [], 0.0, 0.0)


def best_of(answers):
    """The Answer of least objective, of those the quickest, then the fewest RBs."""
    answers = set(answers)
    objective = min(a.objective for a in answers)
    ties = [a for a in answers if a.objective <= objective + CLOSE]
    latency = min(a.largest_latency_s for a in ties)
    return Answer(objective, latency, min(a.rb_count for a in ties if a.largest_latency_s <= latency + CLOSE))


def check_allocation(instance, allocation):
    """The grants obey the instance, and the reported figures follow from them."""
    taken = []
    for client, granted in zip(instance.clients, allocation.clients, strict=True):
        assert granted.name == client.name
        assert (granted.bits, granted.energy) in client.curve
        assert (granted.bits > 0) == (granted.rb_count > 0)
        latency = client.compute_s
        if granted.rb_count:
            rates = {(start, count): rate for start, count, rate in usable(instance, client)}
            latency += client.overhead_s + granted.bits / rates[granted.rb_start, granted.rb_count]
            assert instance.deadline_s is None or granted.latency_s <= instance.deadline_s
            taken.append((granted.rb_start, granted.rb_start + granted.rb_count))
        else:
            assert granted.rb_start == 0
        assert granted.latency_s == pytest.approx(latency)
    for (_, end), (start, _) in itertools.pairwise(sorted(taken)):
        assert start - end >= instance.guard_rb
    assert all(end <= instance.rb_total for _, end in taken)
    assert allocation.lower_bound <= allocation.objective
    assert 0.0 <= allocation.gap <= 1.0
    if instance.placed and allocation.exact:
        assert allocation.gap == 0.0


def coarse_instance(seed, model):
    """Coarse values, so that ties are common; barred RBs, short rows, clients without places and without rates."""
    rng = random.Random(f"placed-{seed}-{model}")
    rb_total = rng.choice([2, 4, 5, 5])
    barred = rng.choice([None, None, rng.randrange(rb_total)])
    members = []
    for index in range(rng.choice([1, 3, 4, 4])):
        bits = [0, *sorted(rng.sample(range(1, 9), rng.choice([0, 2, 2, 2, 2])))]
        energies = sorted((rng.choice([0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 1.0]) for _ in bits), reverse=True)
        rows = []
        for count in range(1, rng.choice([0, *[rb_total] * 5, rb_total - 1]) + 1):
            row = [rng.choice([0.0, 2.0, 4.0, 8.0, 8.0, 16.0]) * count for _ in range(rb_total - count + 1)]
            row = [0.0 if barred is not None and s <= barred < s + count else rate for s, rate in enumerate(row)]
            rows.append(row[: rng.choice([*[len(row)] * 4, rng.randrange(len(row) + 1)])])
        flat = [rng.choice([0.0, 1.0, 2.0, 4.0]) for _ in range(rng.randrange(rb_total + 2))]
        by_place = rng.random() < 0.75
        members.append(
            ClientInstance(
                name=f"c{index}",
                weight=rng.choice([0.0, 0.25, 0.5, 0.5, 0.5, 1.0]),
                queue_s=rng.choice([0.0, 0.01, 0.02, 0.05, 0.1]),
                compute_s=rng.choice([0.0, 1.0, 1.0, 2.0]),
                overhead_s=rng.choice([0.0, 0.1, 0.5]),
                rate_bps=None if by_place else flat,
                rate_bps_at=rows if by_place else None,
                curve=list(zip(bits, energies, strict=True)),
            )
        )
    return Instance(
        rb_total=rb_total,
        guard_rb=rng.choice([0, 0, 1, 1, 2]),
        V=rng.choice([0.5, 1.0, 3.0]),
        latency_model=model,
        queue_s=rng.choice([0.0, 0.01, 0.05, 0.1, 0.3]),
        deadline_s=rng.choice([None, None, None, 4.5, 6.0]),
        clients=members,
    )
