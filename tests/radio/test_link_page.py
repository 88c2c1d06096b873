"""``docs/link.md`` against the shipped schemes and link tables."""

import re
from pathlib import Path

import pytest

from radio.link_tables import LinkTables
from radio.modem.mcs import McsTable

PAGE = Path(__file__).parents[2] / "docs" / "link.md"


def test_the_page_lists_every_scheme_with_bits_rate_and_snr():
    cells = re.findall(r"\| `([\w./-]+)` \| (\d) \| (0\.\d+) \| (-?\d+\.\d) (?=\|)", PAGE.read_text())
    assert [name for name, *_ in cells].count("qpsk-1/2") == 1
    listed = {name: tuple(map(float, figures)) for name, *figures in cells}
    tables = LinkTables.load()
    for scheme in McsTable.load().schemes:
        assert scheme.name in listed, f"docs/link.md, Schemes: {scheme.name} is missing"
        bits, rate, snr_db = listed.pop(scheme.name)
        assert (bits, rate) == (scheme.bits_per_symbol, pytest.approx(scheme.code_rate, abs=6e-4))
        assert (
            tables.block_error_rate(scheme.name, snr_db + 0.07)
            < 0.1
            < tables.block_error_rate(scheme.name, snr_db - 0.07)
        )
    assert not listed
