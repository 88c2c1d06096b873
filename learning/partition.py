"""How the training samples are dealt to the edge clients.

A partition depends on the experiment alone; base station and clients compute it independently and
its hash goes into the manifest. The Dirichlet partition is the customary one of federated learning
(for each class, the clients' shares are drawn from a symmetric Dirichlet distribution); `shards` deals
label-sorted slices. The redraw rule and the natural rule are ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.samples import Samples
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError
from protocol.random_streams import random_stream

MAXIMUM_REDRAWS = 2000
"""Dirichlet partitions drawn before the experiment is called impossible (a draw takes about 0.3 ms)."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Partition:
    """Indices into the training samples, ascending, by client name in the experiment's order."""

    indices: Mapping[str, Indices]

    @property
    def sha256(self) -> str:
        """Hash of every client's name and indices (hexadecimal)."""
        digest = hashlib.sha256()
        for name, indices in self.indices.items():
            digest.update(name.encode() + b"\0" + len(indices).to_bytes(8, "little"))
            digest.update(indices.astype("<i8").tobytes())
        return digest.hexdigest()

    def histogram(self, labels: Indices, classes: int) -> dict[str, Indices]:
        """Samples of each class, (classes,), by client."""
        return {name: np.bincount(labels[own], minlength=classes) for name, own in self.indices.items()}


def partition_samples(experiment: Experiment, train: Samples) -> Partition:
    """Deal ``train`` to the experiment's clients; ConfigurationError if it cannot be done."""
    data = experiment.data
    names = [member.name for member in experiment.clients.members]
    if len(train) < len(names):
        raise ConfigurationError(f"data: {len(train)} training samples cannot be dealt to {len(names)} clients")
    stream = random_stream(experiment.experiment.seed, "partition")
    if data.partition == "natural":
        if train.groups is None:
            raise ConfigurationError(
                'data.partition = "natural" needs data with groups: "vader-domains", or a table with data.group_column'
            )
        shares = natural(train.groups, names)
    elif data.partition == "iid":
        shares = iid(len(train), len(names), stream)
    elif data.partition == "shards":
        shares = shards(train.labels, len(names), data.shards_per_client, stream)
    else:
        shares = dirichlet(train.labels, len(names), data.dirichlet_alpha, data.minimum_samples, stream)
    return Partition({name: np.sort(share) for name, share in zip(names, shares, strict=True)})


def dirichlet(
    labels: Indices, clients: int, alpha: float, minimum_samples: int, stream: np.random.Generator
) -> list[Indices]:
    """For each class, proportions over clients ~ Dirichlet(alpha); redrawn until all hold enough."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    largest_minimum = 0
    for _ in range(MAXIMUM_REDRAWS):
        shares = _deal_classes(members, clients, alpha, stream)
        smallest = min(len(share) for share in shares)
        if smallest >= minimum_samples:
            return shares
        largest_minimum = max(largest_minimum, smallest)
    raise ConfigurationError(
        f"data.minimum_samples: in {MAXIMUM_REDRAWS} Dirichlet({alpha:g}) draws of {len(labels)} samples the poorest "
        f"of {clients} clients never held more than {largest_minimum}; lower minimum_samples or raise dirichlet_alpha"
    )


def _deal_classes(members: Sequence[Indices], clients: int, alpha: float, stream: np.random.Generator) -> list[Indices]:
    parts: list[list[Indices]] = [[] for _ in range(clients)]
    for own in members:
        proportions = stream.dirichlet(np.full(clients, alpha))
        cuts = np.round(np.cumsum(proportions)[:-1] * len(own)).astype(np.int64)
        for part, piece in zip(parts, np.split(stream.permutation(own), cuts), strict=True):
            part.append(piece)
    return [np.concatenate(part) for part in parts]


def iid(count: int, clients: int, stream: np.random.Generator) -> list[Indices]:
    """Equal shares (to one sample) of a random order."""
    return list(np.array_split(stream.permutation(count), clients))


def shards(labels: Indices, clients: int, shards_per_client: int, stream: np.random.Generator) -> list[Indices]:
    """Label-sorted samples are cut into equal shards; every client is dealt ``shards_per_client`` of them."""
    total = clients * shards_per_client
    if total > len(labels):
        raise ConfigurationError(f"data.shards_per_client: {total} shards cannot be cut from {len(labels)} samples")
    pieces = np.array_split(np.argsort(labels, kind="stable"), total)
    order = stream.permutation(total).reshape(clients, shards_per_client)
    return [np.concatenate([pieces[i] for i in own]) for own in order]


def natural(groups: Sequence[str], names: Sequence[str]) -> list[Indices]:
    """A group called like a client is that client's; the others go, largest first, to the poorest client."""
    values, inverse = np.unique(np.asarray(groups), return_inverse=True)
    own: dict[str, list[Indices]] = {name: [] for name in names}
    members = {str(value): np.flatnonzero(inverse == i) for i, value in enumerate(values)}
    for group in [group for group in members if group in own]:
        own[group].append(members.pop(group))
    for group in sorted(members, key=lambda g: (-len(members[g]), g)):
        poorest = min(names, key=lambda name: sum(map(len, own[name])))
        own[poorest].append(members[group])
    without = [name for name in names if not own[name]]
    if without:
        raise ConfigurationError(
            f"data.partition: {len(values)} groups leave client '{without[0]}' without a sample; use fewer clients"
        )
    return [np.concatenate(own[name]) for name in names]
