"""Resampling by parts per million against the plain formula and against tones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.channel.resampling import TAPS, interpolator, resample


def plain_resample(samples, drift, start):
    """One output at a time."""
    result = np.zeros(len(samples), np.complex128)
    for i in range(len(samples)):
        position = start + i * (1.0 + drift)
        centre = int(np.floor(position))
        offsets = np.arange(TAPS) - (TAPS // 2 - 1)
        inside = (centre + offsets >= 0) & (centre + offsets < len(samples))
        weights = interpolator(position - centre, offsets)[inside]
        result[i] = np.sum(weights * samples[centre + offsets[inside]])
    return result


@given(
    drift_ppm=st.floats(-100.0, 100.0), start=st.floats(-5.0, 5.0), seed=st.integers(0, 2**16), n=st.integers(1, 1500)
)
@settings(max_examples=15)
def test_stretches_give_what_the_plain_formula_gives(drift_ppm, start, seed, n):
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(n) + 1j * rng.standard_normal(n)).astype(np.complex64)
    fast = resample(samples, drift_ppm * 1e-6, start)
    plain = plain_resample(samples, drift_ppm * 1e-6, start)
    assert np.max(np.abs(fast - plain)) < 2e-3 * np.max(np.abs(samples))


@pytest.mark.parametrize("frequency", [-0.45, -0.2, 0.01, 0.3, 0.45])
@pytest.mark.parametrize("drift", [-40e-6, 0.0, 7e-6, 100e-6])
def test_a_tone_keeps_its_shape_60_db_clean(frequency, drift):
    n = np.arange(30_000)
    tone = np.exp(2j * np.pi * frequency * n).astype(np.complex64)
    ideal = np.exp(2j * np.pi * frequency * (-0.37 + n * (1.0 + drift)))
    error = (resample(tone, drift, -0.37) - ideal)[100:-100]
    assert 10.0 * np.log10(np.mean(np.abs(error) ** 2)) < -60.0


def test_nothing_comes_from_beyond_the_samples():
    ones = np.ones(300, np.complex64)
    shifted = resample(ones, 0.0, 200.0)
    assert np.allclose(shifted[:60], 1.0, atol=1e-3)
    assert np.all(shifted[150:] == 0.0)
