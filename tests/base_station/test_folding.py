"""What a client is told of folded weights, by what it has already."""

import numpy as np

from base_station.folding import Folding
from protocol.adapters import adapter_from_bytes
from protocol.folding import change_from_bytes, grown, split_folded, with_folded


def change(seed):
    rng = np.random.default_rng(seed)
    return {"m.q": (rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(2, 5)).astype(np.float32))}


def told(message):
    """(what the message holds, as a sum; whether it is all)."""
    if message.whole:
        tensors = adapter_from_bytes(message.data)[0] if message.data else {}
        return split_folded(tensors)[1], True
    return grown({}, change_from_bytes(message.data)), False


def test_a_client_that_answered_is_told_the_last_change_and_any_other_the_sum():
    folding, total = Folding({}), np.zeros((6, 5), np.float32)
    assert told(folding.message("a")) == ({}, True)
    for seed, holders in ((1, ["a", "b", "late"]), (2, ["a", "b"])):
        folding.add(change(seed), holders)
        total = total + change(seed)["m.q"][0] @ change(seed)["m.q"][1]
    folding.forget("b")
    last, whole = told(folding.message("a"))
    assert not whole
    np.testing.assert_array_equal(last["m.q"], change(2)["m.q"][0] @ change(2)["m.q"][1])
    for name in ("b", "late"):
        summed, whole = told(folding.message(name))
        assert whole
        np.testing.assert_allclose(summed["m.q"], total, atol=1e-6)


def test_a_round_that_folds_nothing_costs_holders_no_bits():
    folding = Folding({})
    folding.add(change(1), ["a"])
    folding.add({}, ["a"])
    assert folding.message("a").data == b""
    assert folding.message("b").data


def test_folded_weights_and_adapter_are_kept_apart_in_one_mapping():
    adapter = {"m.q.lora_A.weight": np.ones((1, 2), np.float32)}
    folded = {"m.q": np.ones((3, 2), np.float32)}
    both = with_folded(adapter, folded)
    assert len(both) == 2
    back = split_folded(both)
    assert (back[0].keys(), back[1].keys()) == (adapter.keys(), folded.keys())
