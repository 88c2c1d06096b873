"""A wrong medium file is told by file and key."""

import math

import pytest

from protocol.errors import ConfigurationError
from radio.virtual.configuration import load_medium, medium_of

BAD = [
    ({"medum": {}}, "unknown table 'medum'; the nearest valid one is 'medium'"),
    ({"medium": {"los_db": 3.0}}, "unknown key 'medium.los_db'; the nearest valid one is 'loss_db'"),
    ({"radio": [{"name": "a", "noise": 1}]}, "unknown key 'radio.noise'; the nearest valid one is 'noise_figure_db'"),
    ({"medium": {"loss_db": "high"}}, "medium.loss_db: Expected `float`, got `str`"),
    ({"medium": {"path_loss_exponent": math.inf}}, "path_loss_exponent: inf is not a number"),
    ({"radio": [{"name": "a", "position_m": [0.0, math.nan]}]}, "position_m: nan is not a number"),
    ({"radio": [{"name": "c"}]}, "there is no radio 'c'; the nearest is"),
    ({"radio": [{"name": "a"}, {"name": "a"}]}, "two [[radio]] tables are called 'a'"),
    ({"link": [{"between": ["a", "a"]}]}, "is medium.leakage_db"),
    ({"link": [{"between": ["a", "b"]}, {"between": ["b", "a"]}]}, "is there twice"),
    ({"link": [{"between": ["a", "b"], "loss_db": 1.0, "distance_m": 2.0}]}, "loss_db or distance_m, not both"),
    ({"medium": {"model": "tdl-z"}}, "no model 'tdl-z'"),
    ({"link": [{"between": ["a", "b"], "model": "tdl-a", "delay_spread_s": 1e-3}]}, "link between 'a' and 'b'"),
    ({"radio": [{"name": "a", "receive_gain_errors_db": [[0, 1.0], [0, 2.0]]}]}, "settings must rise"),
    ({"medium": 3}, "medium: Expected `object`, got `int`"),
]


@pytest.mark.parametrize(("tables", "line"), BAD)
def test_a_wrong_medium_file_is_told_by_file_and_key(tables, line):
    with pytest.raises(ConfigurationError) as refused:
        medium_of(tables, ["a", "b"], "lab.toml")
    assert str(refused.value).startswith("lab.toml: ")
    assert line in str(refused.value)


def test_a_medium_file_that_is_no_toml_is_told(tmp_path):
    (tmp_path / "lab.toml").write_text("[medium\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_medium(tmp_path / "lab.toml", ["a"])
