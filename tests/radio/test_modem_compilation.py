"""Compiled code: made in advance, the same that receivers call, and kept wherever there is room."""

import subprocess
import sys

import numpy as np
from compilation_support import ROOT, compiled_and_added

from radio.modem import compiled as compilation

RECEIVERS = """
from protocol.bursts import DataBurst, SoundingBurst
from protocol.random_streams import random_stream
from radio.flowgraphs.receive import receive_branches
from radio.modem import McsTable, receive
from radio.modem.combining import SoftMemory
from radio.modem.trial import Impairments, random_blocks, received
from radio.numerology import DEFAULT_2MSPS

rng = random_stream(1, "after compilation")
by_kind = {(s.codec, s.bits_per_symbol): s.name for s in McsTable.load().schemes}
bursts = [SoundingBurst("a", 1, 6, 16, acquisition=True)]
bursts += [DataBurst("a", 2, 3, 4, mcs, [0, 1]) for mcs in by_kind.values()]
for burst in bursts:
    stream = received(rng, burst, random_blocks(rng, burst), Impairments(snr_db=20.0), DEFAULT_2MSPS)
    (branch,) = receive_branches([burst], stream, DEFAULT_2MSPS)
    memory = SoftMemory()
    assert all(receive(burst, branch, DEFAULT_2MSPS, memory).detected for _ in range(2))
"""


def test_receivers_find_everything_compiled_that_they_call():
    count, added = compiled_and_added("radio.modem.compile_kernels", RECEIVERS, timeout_s=240)
    assert count >= 6
    assert added == "[]"


def test_without_a_place_to_keep_it_code_is_compiled_all_the_same(monkeypatch):
    real = compilation.njit

    def nowhere(*, cache=False, nogil):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(nogil=nogil)

    monkeypatch.setattr(compilation, "njit", nowhere)

    def doubled(values):
        return 2 * values

    np.testing.assert_array_equal(compilation.compiled(doubled)(np.arange(3)), [0, 2, 4])
    assert compilation.compiled(doubled) is not doubled


def test_whoever_only_plans_bursts_does_not_load_the_compiler():
    planning = "import sys, deploy.cli, radio.rates, radio.limits, radio.drivers; print('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", planning], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout == "False\n"
