import numpy as np
import pytest

from learning.device import compute_s, load_profile, measure_here, shipped_profiles
from learning.model import build_model, configure_torch
from learning.tokens import tokenise
from protocol.errors import DataError
from protocol.experiment_file import experiment_from_dict


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_loads_and_says_where_it_comes_from(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.source in ("measured", "assumed")
    assert profile.machine


def test_the_reference_is_measured_and_the_jetson_assumed():
    assert load_profile("reference-2core").source == "measured"
    assert load_profile("jetson-orin-nano").source == "assumed"


def test_compute_time_grows_with_steps_tokens_and_scale():
    profile = load_profile("reference-2core")
    one = compute_s(profile, 1, profile.batch_size, profile.max_tokens)
    assert one == profile.seconds_per_step
    assert compute_s(profile, 8, 2 * profile.batch_size, profile.max_tokens // 2, 1.5) == pytest.approx(12 * one)


def test_a_profile_of_one_s_own_is_a_toml_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nsource = "assumed"\nmachine = "a board"\ndate = "2026-01-02"\n'
        "seconds_per_step = 0.5\nbatch_size = 8\nmax_tokens = 32\n"
    )
    assert load_profile(str(path)).seconds_per_step == 0.5
    path.write_text(path.read_text().replace("assumed", "guessed"))
    with pytest.raises(DataError, match=r"mine\.toml: not a device profile"):
        load_profile(str(path))
    with pytest.raises(DataError, match="no device profile 'abacus'; known: measured-here, jetson-orin-nano"):
        load_profile("abacus")


def test_measuring_here_times_real_steps_and_leaves_the_model_alone():
    configure_torch(1)
    raw = {"experiment": {"name": "t"}, "clients": {"members": [{"name": "ann", "distance_m": 1.0}]}}
    experiment = experiment_from_dict({**raw, "training": {"batch_size": 2}}, "test")
    model = build_model(experiment, 3)
    before = model.get_adapter()
    tokens = tokenise(model.directory, ["one text", "another text"], 16)
    profile = measure_here(model, tokens, np.array([0, 1]), experiment.training, 16)
    assert (profile.source, profile.threads, profile.batch_size) == ("measured", 1, 2)
    assert 1e-4 < profile.seconds_per_step < 5.0
    assert all(np.array_equal(v, before[name]) for name, v in model.get_adapter().items())
    assert all(p.grad is None for p in model.parameters.values())
