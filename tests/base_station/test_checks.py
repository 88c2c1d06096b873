"""A client with a valid key is still not believed when what it says cannot be."""

import dataclasses

import msgspec
import pytest

from base_station.checks import absurd_energies, fault_of_encoded, fault_of_ready, fragments_and_blocks
from base_station.station import fragment_key
from protocol.experiment_file import experiment_from_dict
from protocol.keys import StationKeys, new_pair
from protocol.messages import Encoded, Ready
from radio.fragments import FragmentTagger

READY = Ready(
    round_index=1, samples=100, compute_s=4.0, loss=1.0, curve=[(0, 2.0), (800, 1.0), (1600, 0.1)], lora_energy=1.5,
    head_energy=0.5, exact_energy=1.5, cosine_mean=0.1, cosine_worst=0.2, residual_energy=0.0,
)  # fmt: skip
ENCODED = Encoded(
    round_index=1, payload_bits=8 * 5000, fragments=3, blocks=20, components_sent=10, components_total=96,
    lora_values_sent=7680, lora_values_total=73728, unsent_energy=0.1,
)  # fmt: skip


def test_an_honest_client_is_believed():
    assert fault_of_ready(READY, 100, 4.0) == ""
    assert fault_of_encoded(ENCODED, 8 * 5000, 2006, 252) == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"samples": 1000}, "samples"),
        ({"compute_s": 3.9}, "device profile"),
        ({"curve": [(8, 2.0), (800, 1.0)]}, "curve"),
        ({"curve": [(0, 2.0), (800, 2.5)]}, "curve"),
        ({"curve": [(0, 2.0), (800, 1.0), (800, 0.5)]}, "curve"),
        ({"curve": [(0, 1e10)]}, "absurd"),
        ({"lora_energy": 1e30}, "absurd"),
        ({"head_energy": 1e12}, "absurd"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(change, word):
    assert word in fault_of_ready(msgspec.structs.replace(READY, **change), 100, 4.0)


def test_an_energy_out_of_proportion_is_refused_when_there_are_others_to_compare():
    liar = msgspec.structs.replace(READY, curve=[(0, 1e8), (800, 1.0)])
    assert list(absurd_energies({"a": READY, "liar": liar, "b": READY})) == ["liar"]
    assert absurd_energies({"a": READY, "b": READY, "c": READY}) == {}
    assert absurd_energies({"a": READY, "liar": liar}) == {}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"payload_bits": 8 * 5001}, "granted"),
        ({"payload_bits": 0}, "granted"),
        ({"blocks": 2**24}, "blocks"),
        ({"blocks": 0}, "blocks"),
        ({"fragments": 4}, "fragments"),
        ({"lora_values_sent": 80_000}, "more than there is"),
        ({"components_sent": 97}, "more than there is"),
    ],
)
def test_an_update_that_does_not_fit_its_grant_is_refused(change, word):
    assert word in fault_of_encoded(msgspec.structs.replace(ENCODED, **change), 8 * 5000, 2006, 252)


@pytest.mark.parametrize("payload_bytes", [1, 23, 2003, 2004, 2005, 4008, 5000, 80_000])
def test_fragments_and_blocks_are_what_a_client_makes_of_its_file(payload_bytes):
    pieces = [payload_bytes - i * 2004 for i in range(-(-payload_bytes // 2004))]
    sizes = [min(piece, 2004) + 2 for piece in pieces]
    tagger = FragmentTagger(bytes(32), "run", 1, "edge-1", 252)
    blocks = sum(len(tagger.seal(i, bytes(size))) for i, size in enumerate(sizes))
    assert fragments_and_blocks(payload_bytes, 2006, 252) == (len(sizes), blocks)


def test_a_fragment_key_is_no_other_clients_to_know():
    experiment = experiment_from_dict(
        {"experiment": {"name": "lab"}, "clients": {"members": [{"name": "a", "distance_m": 1.0}]}}, "lab"
    )
    lab = StationKeys(new_pair(), {})
    other = StationKeys(new_pair(), {})
    assert fragment_key(experiment, lab, "a") == fragment_key(experiment, lab, "a")
    assert len({fragment_key(experiment, k, n) for k in (lab, other) for n in ("a", "b")}) == 4
    throw_away = [dataclasses.replace(k, throw_away=True) for k in (lab, other)]
    assert fragment_key(experiment, throw_away[0], "a") == fragment_key(experiment, throw_away[1], "a")
