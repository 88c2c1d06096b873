"""What set-up compiles is what rounds call."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AFTER_COMPILATION = """
import sys
import numpy as np
from numba.core.registry import CPUDispatcher
from base_station.compile_kernels import compile_kernels
from base_station.tsfa import kernels
from base_station.tsfa.solver import solve
from benchmarks.tsfa_speed import random_instance
from radio import rate_kernels
from radio.link_tables import LinkTables
from radio.numerology import DEFAULT_2MSPS, WIDE_4MSPS
from radio.placed_rates import PowerLimits, placed_rates
from radio.rates import Grants, LinkRule, choose_mcs, power_backoff_db

def variants():
    compiled = {f for module in (kernels, rate_kernels) for f in vars(module).values() if isinstance(f, CPUDispatcher)}
    return {(f.__name__, str(signature)) for f in compiled for signature in f.signatures}

compile_kernels()
compiled = variants()
solve(random_instance(20, 28, 6, "per-client", 0, placed=True))
for codec, numerology in (("ldpc", DEFAULT_2MSPS), ("convolutional", WIDE_4MSPS)):
    rule = LinkRule(LinkTables.load().of(codec), numerology, 0.05, 0.9)
    sinr_db = np.linspace(0.0, 40.0, 4 * numerology.rb_total).tolist()
    placed_rates(rule, sinr_db, PowerLimits(6.0, 20.0), 0.5, [3])
    grant = Grants.one(2, 5, sinr_db[8:28])
    choose_mcs(rule, grant.at(-power_backoff_db(rule, grant, 1)), 1)
print(len(compiled), sorted(variants() - compiled))
"""


def test_rounds_find_everything_compiled_that_they_call():
    command = [sys.executable, "-c", AFTER_COMPILATION]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    count, added = result.stdout.split(maxsplit=1)
    assert int(count) >= 8
    assert added.strip() == "[]"
