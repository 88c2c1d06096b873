"""What set-up compiles is what rounds call."""

from compilation_support import compiled_and_added

ROUNDS = """
import numpy as np
from base_station.tsfa.solver import solve
from benchmarks.tsfa_speed import random_instance
from radio.link_tables import LinkTables
from radio.numerology import DEFAULT_2MSPS, WIDE_4MSPS
from radio.placed_rates import PowerLimits, placed_rates
from radio.rates import Grants, LinkRule, choose_mcs, power_backoff_db

solve(random_instance(20, 28, 6, "per-client", 0, placed=True))
for codec, numerology in (("ldpc", DEFAULT_2MSPS), ("convolutional", WIDE_4MSPS)):
    rule = LinkRule(LinkTables.load().of(codec), numerology, 0.05, 0.9)
    sinr_db = np.linspace(0.0, 40.0, 4 * numerology.rb_total).tolist()
    placed_rates(rule, sinr_db, PowerLimits(6.0, 20.0), 0.5, [3])
    grant = Grants.one(2, 5, sinr_db[8:28])
    choose_mcs(rule, grant.at(-power_backoff_db(rule, grant, 1)), 1)
"""


def test_rounds_find_everything_compiled_that_they_call():
    count, added = compiled_and_added("base_station.compile_kernels", ROUNDS, timeout_s=120)
    assert count >= 8
    assert added == "[]"
