import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.partition import Partition, dirichlet, iid, natural, partition_samples, shards
from learning.samples import Samples
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError
from protocol.experiment_file import experiment_from_dict
from protocol.random_streams import random_stream

label_lists = st.lists(st.integers(0, 4), min_size=60, max_size=200)


def experiment(**data: object) -> Experiment:
    members = [{"name": name, "distance_m": 10.0} for name in ("ann", "bo", "cy")]
    raw = {"experiment": {"name": "t", "seed": 3}, "clients": {"members": members}, "data": data}
    return experiment_from_dict(raw, "test")


def labelled(count: int = 600, classes: int = 5, groups: tuple[str, ...] | None = None) -> Samples:
    return Samples(tuple(f"text {i}" for i in range(count)), np.arange(count) % classes, groups)


def assert_every_text_is_dealt_once(shares: list[np.ndarray], count: int) -> None:
    assert sorted(np.concatenate(shares).tolist()) == list(range(count))


@settings(max_examples=40, deadline=None)
@given(label_lists, st.integers(2, 5), st.floats(0.3, 100.0), st.integers(0, 2**32))
def test_dirichlet_deals_every_text_once_and_enough_to_each(labels, clients, alpha, seed):
    shares = dirichlet(np.array(labels), clients, alpha, 3, random_stream(seed, "t"))
    assert_every_text_is_dealt_once(shares, len(labels))
    assert min(map(len, shares)) >= 3


@settings(max_examples=40, deadline=None)
@given(label_lists, st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32))
def test_iid_and_shards_deal_every_text_once(labels, clients, shards_per_client, seed):
    assert_every_text_is_dealt_once(iid(len(labels), clients, random_stream(seed, "t")), len(labels))
    shares = shards(np.array(labels), clients, shards_per_client, random_stream(seed, "t"))
    assert_every_text_is_dealt_once(shares, len(labels))


def test_a_small_alpha_gives_more_unequal_class_mixes_than_a_large_one():
    labels = np.arange(2000) % 10

    def spread(alpha: float) -> float:
        shares = dirichlet(labels, 4, alpha, 1, random_stream(1, "t"))
        return float(np.std([np.bincount(labels[s], minlength=10) / len(s) for s in shares]))

    assert spread(0.1) > 3 * spread(100.0)


def test_each_shard_client_sees_few_classes():
    labels = np.arange(1000) % 10
    for share in shards(labels, 5, 2, random_stream(1, "t")):
        assert len(np.unique(labels[share])) <= 4


def test_an_impossible_minimum_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match="lower minimum_samples or raise dirichlet_alpha"):
        partition_samples(experiment(minimum_samples=400), labelled())


def test_a_group_named_like_a_client_is_its_own_and_the_others_fill_the_poorest():
    groups = ["ann"] * 5 + ["x"] * 4 + ["y"] * 3 + ["z"] * 2
    ann, bo, cy = natural(groups, ["ann", "bo", "cy"])
    assert ann.tolist() == [0, 1, 2, 3, 4]
    assert bo.tolist() == [5, 6, 7, 8]
    assert sorted(cy.tolist()) == [9, 10, 11, 12, 13]


def test_natural_needs_groups_and_one_for_each_client():
    with pytest.raises(ConfigurationError, match="group_column"):
        partition_samples(experiment(partition="natural"), labelled())
    with pytest.raises(ConfigurationError, match="client 'cy'"):
        partition_samples(experiment(partition="natural"), labelled(4, 2, ("ann", "ann", "bo", "bo")))


def test_the_hash_is_the_same_every_time_and_knows_who_holds_what():
    first = partition_samples(experiment(), labelled())
    again = partition_samples(experiment(), labelled())
    assert first.sha256 == again.sha256 == "632649aa5d5912508e6eb057ab0d877b4053d76fddb2bb3fd58cb15c859bb533"
    swapped = Partition({"ann": first.indices["bo"], "bo": first.indices["ann"], "cy": first.indices["cy"]})
    assert swapped.sha256 != first.sha256


def test_the_histogram_counts_each_client_s_classes():
    partition = Partition({"ann": np.array([0, 1, 5]), "bo": np.array([2])})
    histogram = partition.histogram(np.array([0, 1, 2, 3, 4, 0]), 6)
    assert histogram["ann"].tolist() == [2, 1, 0, 0, 0, 0]
    assert histogram["bo"].tolist() == [0, 0, 1, 0, 0, 0]
