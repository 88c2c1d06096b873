"""Compile the base station's inner loops before they are needed: ``python -m base_station.compile_kernels``.

Those of rates and of placement, called as a round calls them; ``radio.modem.compile_kernels`` does the modem's.
"""

from __future__ import annotations

import numpy as np

from base_station.tsfa.orders import improve_order
from base_station.tsfa.prices import search_prices
from base_station.tsfa.subsets import place_exactly
from protocol.random_streams import random_stream
from radio.link_tables import LinkTables
from radio.numerology import DEFAULT_2MSPS
from radio.placed_rates import PowerLimits, placed_rates
from radio.rates import LinkRule, effective_snr_db

CLIENTS, RB_TOTAL, GUARD_RB = 3, 4, 1


def compile_kernels() -> None:
    """Call every compiled function with the arguments it gets in use. Raises DataError without link tables."""
    units = random_stream(1, "compile").integers(0, 9, (CLIENTS, RB_TOTAL, RB_TOTAL))
    search = search_prices(units, GUARD_RB, None)
    improve_order(units, search.order, GUARD_RB)
    place_exactly(units, GUARD_RB)
    tables = LinkTables.load().of("ldpc")
    rule = LinkRule(tables, DEFAULT_2MSPS, target_block_error_rate=0.1)
    placed_rates(rule, np.full(DEFAULT_2MSPS.rb_total, 10.0), PowerLimits(psd_cap_db=0.0), offset_db=0.0)
    effective_snr_db([10.0], tables.mcs_names[0])


if __name__ == "__main__":
    compile_kernels()
