import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigurationError, DataError
from radio.link_tables import LINK_TABLES_FILE, LinkPoint, LinkTables, LinkTablesFile
from radio.measure_link_tables import PointMeter, main, measure_table
from radio.modem import BLOCK_FORMATS, McsTable
from radio.simulation.scenario import Scenario
from radio.simulation.workers import Workers

MEASURED = LinkTables.load().mcs_names
names = st.sampled_from(MEASURED)
snrs = st.floats(-30.0, 60.0)


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as one:
        yield one


def shipped():
    return msgspec.json.decode(LINK_TABLES_FILE.read_bytes(), type=LinkTablesFile)


def shipped_points():
    return {mcs: points for tables in shipped().values() for mcs, points in tables.points.items()}


def test_every_mcs_of_a_measured_codec_has_a_table_and_the_file_says_how_it_was_made():
    tables = LinkTables.load()
    for codec, content in shipped().items():
        assert tables.of(codec).mcs_names == tuple(scheme.name for scheme in McsTable.load().of(codec))
        provenance = content.provenance
        assert provenance == tables.provenance[codec]
        assert provenance.command.startswith("python -m radio.measure_link_tables")
        assert provenance.block_bytes == BLOCK_FORMATS[codec].block_bytes
        assert provenance.most_bursts * provenance.payload_bits / (8 * provenance.block_bytes) >= 50 * 12.4  # blocks
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
    for mcs, points in shipped_points().items():
        for point in points:
            measured = (point.errors + 0.5) / (point.blocks + 1.0)
            if point.errors > 30:
                assert tables.block_error_rate(mcs, point.snr_db) == pytest.approx(measured, rel=1e-6)


def some_schemes():
    """Of every codec a low scheme and the highest one."""
    ladders = [LinkTables.load().of(codec).mcs_names for codec in shipped()]
    return [ladder[place] for ladder in ladders for place in (len(ladder) // 4, -1)]


@pytest.mark.parametrize("mcs", some_schemes())
def test_the_modem_still_measures_what_the_table_says(mcs, workers):
    nearest = min(shipped_points()[mcs], key=lambda point: abs(point.errors / point.blocks - 0.3))
    codec = McsTable.load()[mcs].codec
    scenario = Scenario(seed=99, codec=codec, rb_count=LinkTables.load().provenance[codec].rb_count)
    again = PointMeter(workers, scenario, most_bursts=8).point(mcs, nearest.snr_db)
    expected = nearest.errors / nearest.blocks
    # Blocks of one burst share its phase and channel estimate, so they are not quite independent: 5 deviations.
    deviation = math.sqrt(expected * (1.0 - expected) * (1.0 / again.blocks + 1.0 / nearest.blocks))
    assert abs(again.errors / again.blocks - expected) < 5.0 * deviation


def test_a_table_reaches_from_all_lost_to_hardly_any():
    tables = measure_table(_Waterfall(threshold_db=7.3), "qpsk-1/2", 0.25, guess_db=-4.0)
    assert [point.snr_db for point in tables] == [6.75, 7.0, 7.25, 7.5, 7.75, 8.0]
    from_above = measure_table(_Waterfall(threshold_db=7.3), "qpsk-1/2", 0.25, guess_db=20.0)
    assert from_above == tables


class _Waterfall:
    """A scheme that loses everything half a dB below its threshold and nothing half a dB above."""

    def __init__(self, threshold_db):
        self.threshold_db = threshold_db

    def point(self, mcs, snr_db):
        share = min(max(self.threshold_db + 0.5 - snr_db, 0.0), 1.0)
        return LinkPoint(snr_db, 1000, round(1000 * share))

    def loses_half(self, mcs, snr_db):
        return snr_db <= self.threshold_db


def test_a_point_ends_once_its_rate_is_known(workers):
    scenario = Scenario(codec="convolutional", rb_count=7, payload_bits=8000)
    meter = PointMeter(workers, scenario, most_bursts=24)
    lost, kept = meter.point("qpsk-1/2", -3.0), meter.point("qpsk-1/2", 12.0)
    assert (lost.blocks, lost.errors) == (4 * 16, 4 * 16)
    assert (kept.blocks, kept.errors) == (4 * 24, 0)


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
    file = shipped()
    file["convolutional"].points["bpsk-1/2"].reverse()
    (tmp_path / "tables.json").write_bytes(msgspec.json.encode(file))
    with pytest.raises(DataError, match="ascend"):
        LinkTables.load(tmp_path / "tables.json")


@pytest.mark.long
def test_the_generator_writes_a_file_that_loads_and_agrees(tmp_path):
    path = tmp_path / "tables.json"
    main(["--codec", "convolutional", "--bursts", "16", "--seed", "5", "--out", str(path)])
    again, shipped_tables = LinkTables.load(path), LinkTables.load()
    difference = [again.required_snr_db(mcs, 0.1) - shipped_tables.required_snr_db(mcs, 0.1) for mcs in again.mcs_names]
    assert np.max(np.abs(difference)) < 0.5
