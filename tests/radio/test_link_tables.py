import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigurationError, DataError
from radio.link_tables import LINK_TABLES_FILE, LinkTables, LinkTablesFile
from radio.measure_link_tables import BLOCKS_PER_BURST, main, measure_point
from radio.modem import MCS_NAMES, McsTable

MEASURED = LinkTables.load().mcs_names
names = st.sampled_from(MEASURED)
snrs = st.floats(-30.0, 60.0)


def shipped_points():
    return msgspec.json.decode(LINK_TABLES_FILE.read_bytes(), type=LinkTablesFile)


def test_every_convolutional_mcs_has_a_table_and_the_file_says_how_it_was_made():
    tables = LinkTables.load()
    assert set(tables.mcs_names) <= set(MCS_NAMES)
    assert tables.of("convolutional").mcs_names == tuple(s.name for s in McsTable.load().of("convolutional"))
    provenance = tables.provenance
    assert provenance.command.startswith("python -m radio.measure_link_tables")
    assert provenance.bursts_per_point >= 50
    assert {"gnuradio", "numpy", "airtune"} <= set(provenance.versions)


@given(names, snrs, snrs)
def test_more_snr_never_loses_more_blocks(mcs, first_db, second_db):
    low, high = sorted((first_db, second_db))
    tables = LinkTables.load()
    assert 1.0 >= tables.block_error_rate(mcs, low) >= tables.block_error_rate(mcs, high) > 0.0


@given(names, st.floats(1e-5, 0.8))
def test_the_required_snr_meets_its_rate_and_little_less_does_not(mcs, rate):
    tables = LinkTables.load()
    required_db = tables.required_snr_db(mcs, rate)
    assert tables.block_error_rate(mcs, required_db) <= rate * 1.001
    assert tables.block_error_rate(mcs, required_db - 0.6) > rate


def test_interpolation_passes_through_the_measured_points():
    tables = LinkTables.load()
    for mcs, points in shipped_points().points.items():
        for point in points:
            measured = (point.errors + 0.5) / (point.blocks + 1.0)
            if point.errors > 30:
                assert tables.block_error_rate(mcs, point.snr_db) == pytest.approx(measured, rel=1e-6)


@pytest.mark.parametrize("mcs", ["bpsk-1/2", "16qam-1/2", "64qam-3/4"])
def test_the_modem_still_measures_what_the_table_says(mcs):
    snr_db = LinkTables.load().required_snr_db(mcs, 0.25)
    nearest = min(shipped_points().points[mcs], key=lambda point: abs(point.snr_db - snr_db))
    expected = nearest.errors / nearest.blocks
    again = measure_point(mcs, nearest.snr_db, bursts=20, seed=99)
    # Blocks of one burst share its phase and channel estimate, so they are not quite independent: 5 deviations.
    deviation = math.sqrt(expected * (1.0 - expected) * (1.0 / again.blocks + 1.0 / nearest.blocks))
    assert again.blocks == 20 * BLOCKS_PER_BURST
    assert abs(again.errors / again.blocks - expected) < 5.0 * deviation


def test_an_unknown_mcs_has_no_table():
    with pytest.raises(ConfigurationError, match="no link table for MCS '8psk-1/2'"):
        LinkTables.load().block_error_rate("8psk-1/2", 3.0)


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"provenance": 3}'])
def test_a_missing_or_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "tables.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="link tables cannot be read"):
        LinkTables.load(path)


def test_points_out_of_order_are_refused(tmp_path):
    file = shipped_points()
    file.points["bpsk-1/2"].reverse()
    (tmp_path / "tables.json").write_bytes(msgspec.json.encode(file))
    with pytest.raises(DataError, match="ascend"):
        LinkTables.load(tmp_path / "tables.json")


@pytest.mark.long
def test_the_generator_writes_a_file_that_loads_and_agrees(tmp_path):
    path = tmp_path / "tables.json"
    main(["--bursts", "12", "--seed", "5", "--out", str(path)])
    again, shipped = LinkTables.load(path), LinkTables.load()
    difference = [again.required_snr_db(mcs, 0.1) - shipped.required_snr_db(mcs, 0.1) for mcs in MEASURED]
    assert np.max(np.abs(difference)) < 0.5
