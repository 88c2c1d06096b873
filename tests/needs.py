"""Marks of tests that need a part which ``make setup`` brings only where it can."""

import ctypes.util
import importlib.util

import pytest

needs_pyadi = pytest.mark.skipif(
    importlib.util.find_spec("adi") is None or ctypes.util.find_library("iio") is None,
    reason='libiio0 or pyadi-iio is missing; run: apt-get install libiio0, and pip install "airtune[pluto]"',
)
needs_gr_iio = pytest.mark.skipif(
    importlib.util.find_spec("gnuradio") is None or importlib.util.find_spec("gnuradio.iio") is None,
    reason="GNU Radio's gr-iio is missing; run: make setup",
)
