"""Experiment files: what is wrong is named, with the nearest valid key."""

from __future__ import annotations

import pytest

from protocol.errors import ConfigurationError
from protocol.experiment_file import experiment_from_dict, experiment_to_dict, load_experiment

GOOD = """
[experiment]
name = "small"
[training]
local_steps = 3
[clients]
members = [{ name = "a", distance_m = 10.0 }, { name = "b", mean_snr_db = 12.0 }]
"""


def written(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return path


def test_defaults_fill_what_a_file_leaves_out(tmp_path):
    experiment = load_experiment(written(tmp_path, GOOD))
    assert (experiment.training.local_steps, experiment.training.batch_size) == (3, 16)
    assert experiment.deadline_s == 3 * experiment.tsfa.latency_budget_s
    assert experiment.ready_deadline_s == 2 * experiment.tsfa.latency_budget_s


def test_a_resolved_experiment_reads_back_as_itself(tmp_path):
    experiment = load_experiment(written(tmp_path, GOOD))
    assert experiment_from_dict(experiment_to_dict(experiment), "copy") == experiment


def test_overrides_take_numbers_text_and_lists(tmp_path):
    overrides = ["training.local_steps=5", "data.partition=iid", 'model.lora_targets=["query"]', "soft.quant_bits=4"]
    experiment = load_experiment(written(tmp_path, GOOD), overrides)
    assert (experiment.training.local_steps, experiment.data.partition) == (5, "iid")
    assert (experiment.model.lora_targets, experiment.soft.quant_bits) == (["query"], 4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("local_steps", "local_stepz"),
            r"unknown key 'training\.local_stepz'; the nearest valid one is 'local_steps'",
        ),
        (("[training]", "[trainning]"), "unknown table 'trainning'; the nearest valid one is 'training'"),
        (("mean_snr_db", "mean_snr"), r"members\[1\]\.mean_snr'; the nearest valid one is 'mean_snr_db'"),
        (("= 3", '= "three"'), r"training\.local_steps: Expected `int`, got `str`"),
        (("= 3", "= 0"), r"training\.local_steps: .*>= 1"),
        (('"b"', '"a"'), "two clients are called 'a'"),
        (('"b"', '"base-station"'), "'base-station' is not a client's name"),
        (('"b"', '"../b"'), r"members\[1\]\.name"),
        (("distance_m = 10.0", "distance_m = 10.0, mean_snr_db = 1.0"), "client 'a' needs exactly one of"),
        (("distance_m = 10.0", "distance_m = nan"), "distance_m"),
        (("distance_m = 10.0", "distance_m = inf"), r"members\[0\]\.distance_m: inf is not"),
        (("= 3", "= 3\n[radio]\ntx_power_dbm = nan"), r"radio\.tx_power_dbm: nan is not"),
        (
            ("[training]", '[soft]\ncompression = "svd"\n[training]'),
            r'soft\.compression = "svd" sends changes of products',
        ),
        (("= 3", '= 3\n[model]\nsource = "local"'), "belong together"),
        (("= 3", "= 3\n[radio]\nfragment_bytes = 65536"), r"radio\.fragment_bytes: .*<= 65535"),
        (("= 3", "= 3\n[channel]\nminimum_fade_db = 40.0"), r"channel\.minimum_fade_db: .*<= 0"),
        (("= 3", '= 3\n[radio]\ndriver = "plutos"'), r"radio\.driver: .*'plutos'; valid: simulated, abstract, pluto, "),
        (("= 3", "= 3\n[soft]\nquant_bits = 3"), r"soft\.quant_bits: .*; valid: 4, 8, 16, 32$"),
        (("= 3", "= "), "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, change, told):
    path = written(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_experiment(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("allocation", "overrides", "told"),
    [
        ("tsfa", ["tsfa.fixed_share=0.2"], "tsfa.fixed_share is for equal-fixed and equal-finish"),
        ("tsfa", ["tsfa.best_k=1"], "tsfa.best_k is for best-k"),
        ("best-k", ["tsfa.best_k=3"], "tsfa.best_k = 3, but there are 2 clients"),
        ("equal-fixed", ["soft.compression=dense"], "set tsfa.fixed_share = 1.0"),
        ("equal-finish", ["soft.compression=dense", "tsfa.fixed_share=0.5"], "set tsfa.fixed_share = 1.0"),
        ("ideal", [], 'only radio.driver = "abstract" can follow'),
        ("ideal", ["radio.driver=abstract", "channel.lost_block_rate=0.1"], "leave out channel.lost_block_rate"),
        ("ideal", ["radio.driver=abstract", "tsfa.deadline_s=9.0"], "leave out tsfa.deadline_s"),
        ("ideal", ["radio.driver=abstract", "tsfa.ready_deadline_s=9.0"], "leave out tsfa.deadline_s"),
    ],
)
def test_keys_that_do_not_go_with_the_allocation_are_refused(tmp_path, allocation, overrides, told):
    with pytest.raises(ConfigurationError, match=rf'tsfa\.allocation = "{allocation}": .*{told}') as caught:
        load_experiment(written(tmp_path, GOOD), [f"tsfa.allocation={allocation}", *overrides])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("allocation", "overrides"),
    [
        ("equal-fixed", ["tsfa.fixed_share=0.2"]),
        ("equal-finish", ["tsfa.fixed_share=1.0", "soft.compression=dense"]),
        ("best-k", ["tsfa.best_k=2"]),
        ("ideal", ["radio.driver=abstract"]),
    ],
)
def test_keys_of_an_allocation_go_with_it(tmp_path, allocation, overrides):
    experiment = load_experiment(written(tmp_path, GOOD), [f"tsfa.allocation={allocation}", *overrides])
    unlimited = allocation == "ideal"
    assert (experiment.deadline_s > 1e6, experiment.ready_deadline_s > 1e6) == (unlimited, unlimited)


ON_A_DESK = [
    "radio.driver=pluto",
    "radio.uri=ip:192.168.2.1",
    'clients.members=[{name = "a", uri = "ip:192.168.3.1"}, {name = "b", uri = "ip:192.168.4.1"}]',
]
LICENSED = ["radio.connection=air", "radio.band_hz=[863e6, 870e6]", 'radio.licence="test licence 17"']


def test_radios_on_a_desk_need_neither_distance_nor_snr(tmp_path):
    experiment = load_experiment(written(tmp_path, GOOD), [*ON_A_DESK, *LICENSED])
    assert experiment.member("b").uri == "ip:192.168.4.1"
    cabled = load_experiment(written(tmp_path, GOOD), ON_A_DESK).radio
    assert (cabled.connection, cabled.cable_attenuation_db) == ("cable", 50.0)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            [*ON_A_DESK[:2], 'clients.members=[{name = "a", uri = "usb:", distance_m = 3.0, mean_snr_db = 9.0}]'],
            "client 'a' needs exactly one of distance_m and mean_snr_db",
        ),
        (["radio.driver=pluto"], r"the base station \(radio\.uri\) needs a uri"),
        (["radio.driver=pluto", "radio.uri=usb:"], "client 'a' needs a uri"),
        ([*ON_A_DESK, "radio.connection=air"], r"radio\.band_hz .* and radio\.licence .* must be given"),
        ([*ON_A_DESK, *LICENSED[:2]], r"radio\.licence .* must be given"),
        ([*ON_A_DESK, *LICENSED[:2], 'radio.licence="     "'], r"radio\.licence .* must be given"),
        ([*ON_A_DESK, *LICENSED, "radio.band_hz=[870e6, 863e6]"], "the lowest frequency comes first"),
        ([*ON_A_DESK, "radio.cable_attenuation_db=30.0"], r"radio\.cable_attenuation_db: .*>= 50"),
        ([*ON_A_DESK, "channel.jammer_rb=3"], "are simulated ones"),
        ([*ON_A_DESK, "tsfa.allocation=genie"], "nobody knows the true channel"),
    ],
)
def test_a_radio_profile_that_cannot_be_used_is_refused(tmp_path, overrides, told):
    with pytest.raises(ConfigurationError, match=told):
        load_experiment(written(tmp_path, GOOD), overrides)


@pytest.mark.parametrize("override", ["local_steps=3", "training.local_steps", "=3", "training=3", "training.=3"])
def test_overrides_that_are_none_are_refused(tmp_path, override):
    with pytest.raises(ConfigurationError):
        load_experiment(written(tmp_path, GOOD), [override])


def test_an_override_into_what_is_no_table_is_told(tmp_path):
    path = written(tmp_path, "radio = 5\n" + GOOD)
    with pytest.raises(ConfigurationError, match=r"\[radio\] must be a table, but the file has radio = 5"):
        load_experiment(path, ["radio.guard_rb=1"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read"):
        load_experiment(tmp_path / "none.toml")


def test_an_unknown_client_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigurationError, match="it has: a, b"):
        load_experiment(written(tmp_path, GOOD)).member("c")


def test_crystals_too_far_apart_for_first_contact_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"carrier_offset_ppm.*144 kHz; first contact reaches 120 kHz"):
        load_experiment(written(tmp_path, GOOD), ["channel.carrier_offset_ppm=30"])


MINIMAL = {"experiment": {"name": "x"}, "clients": {"members": [{"name": "a", "distance_m": 10.0}]}}


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"model": {"source": "dinov2-small", "pooling": "native"}}, '"20newsgroups" holds texts'),
        ({"data": {"source": "fashion-mnist"}}, 'holds images.*text-classification'),
        ({"model": {"source": "dinov2-small"}, "data": {"source": "fashion-mnist"}}, 'needs "native"'),
        ({"model": {"source": "smollm2-135m", "pooling": "native"}}, 'partition = "dirichlet" goes by labels'),
        (
            {"model": {"source": "local", "path": "x", "task": "language-modelling", "pooling": "native"},
             "data": {"partition": "shards"}}, 'partition = "shards" goes by labels',
        ),
        ({"data": {"source": "vader-tweets", "path": "x"}}, "belong together"),
    ],
)  # fmt: skip
def test_model_data_and_partition_must_go_together(tables, reason):
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        experiment_from_dict({**MINIMAL, **tables}, "x.toml")
    assert "\n" not in str(refusal.value)


def test_an_image_counts_as_many_tokens_as_it_has_squares_of_14_px_and_one():
    vision = {"source": "dinov2-small", "pooling": "native", "image_size_px": 56}
    images = experiment_from_dict({**MINIMAL, "model": vision, "data": {"source": "fashion-mnist"}}, "x.toml")
    assert images.model.sample_tokens == 17
    texts = experiment_from_dict({**MINIMAL, "model": {"max_tokens": 24}}, "x.toml")
    assert texts.model.sample_tokens == 24
