"""The grids of the sample rates: a higher rate adds resource blocks and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import ConfigurationError
from radio.numerology import numerology_at


def test_four_msps_have_the_same_blocks_twice_as_often():
    narrow, wide = numerology_at(2e6), numerology_at(4e6)
    assert wide.subcarrier_spacing_hz == narrow.subcarrier_spacing_hz == 7812.5
    assert wide.rb_bandwidth_hz == narrow.rb_bandwidth_hz == 62.5e3
    assert wide.cp / wide.sample_rate_hz == narrow.cp / narrow.sample_rate_hz == 12e-6
    assert (wide.rb_total, wide.bandwidth_hz) == (56, 3.5e6)
    assert (narrow.rb_total, narrow.bandwidth_hz) == (28, 1.75e6)


@pytest.mark.parametrize("sample_rate_hz", [2e6, 4e6])
def test_the_blocks_fill_the_band_around_the_carrier_once(sample_rate_hz):
    numerology = numerology_at(sample_rate_hz)
    spacing_hz, total = numerology.subcarrier_spacing_hz, numerology.rb_total
    carriers = []
    for rb in range(total):
        loaded = numerology.loaded_subcarriers(rb, 1) + numerology.centre_subcarrier(rb, 1)
        assert abs(numerology.centre_hz(rb, 1) - (rb + 0.5 - total / 2) * 62.5e3) < spacing_hz
        carriers.extend(loaded.tolist())
    half = numerology.rb_subcarriers * total // 2
    assert carriers == [k for k in range(-half, half) if abs(k) > 1]


@pytest.mark.parametrize("sample_rate_hz", [2e6, 4e6])
def test_a_branch_holds_its_grant_and_a_guard(sample_rate_hz):
    numerology = numerology_at(sample_rate_hz)
    for rb_count in range(1, numerology.rb_total + 1):
        decimation = numerology.decimation(rb_count)
        branch_hz = sample_rate_hz / decimation
        assert decimation == 1 or (rb_count + 1) * numerology.rb_bandwidth_hz <= branch_hz
        assert np.all(
            np.abs(numerology.loaded_subcarriers(0, rb_count)) * numerology.subcarrier_spacing_hz < branch_hz / 2
        )


def test_another_rate_is_refused_by_naming_those_there_are():
    with pytest.raises(ConfigurationError, match=r"sample_rate_hz = 3e\+06.*2e\+06, 4e\+06"):
        numerology_at(3e6)
