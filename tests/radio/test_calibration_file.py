"""Calibration files: kept whole, refused for another Pluto, warned of when they may be wrong."""

import json
from datetime import timedelta

import msgspec
import pytest

from protocol.errors import DataError
from radio.calibration_file import (
    CableReference,
    Calibration,
    Crystal,
    Gain,
    Receiver,
    Transmitter,
    channel_gain_db,
    gain_at,
    load_for,
    now_utc,
    save,
    warnings_of,
)
from radio.quantity import Quantity


def gains(*pairs):
    return [Gain(setting_db=setting, gain_db=Quantity(gain, 0.1)) for setting, gain in pairs]


def calibration(serial="1044aa", carrier_hz=915e6, **parts):
    basics = {"firmware": "v0.38", "date": now_utc().isoformat(), "temperature_c": 37.0, "sample_rate_hz": 2.5e6}
    return Calibration(serial=serial, carrier_hz=carrier_hz, **(basics | parts))


SENDER = calibration(
    transmitter=Transmitter(
        gains=gains((-40.0, -39.0), (-20.0, -20.0)), image_db=Quantity(-45.0, 1.0), carrier_db=Quantity(-41.0, 1.0)
    ),
    crystal=Crystal(xo_correction_hz=40_000_480, left_ppm=Quantity(0.01, 0.001), reference="1044bb"),
)
STATION = calibration(
    "1044bb",
    receiver=Receiver(
        gains=gains((20.0, 20.0), (40.0, 40.6)), image_db=Quantity(-45.0, 1.0), dc_dbfs=Quantity(-50.0, 0.1),
        noise_dbfs_hz=Quantity(-130.0, 0.1), noise_gain_db=40.0,
    ),
    references=[
        CableReference(
            name="edge-1", transmitter="1044aa", attenuation_db=Quantity(50.0, 0.3), offset_db=Quantity(7.2, 0.3),
            date=now_utc().isoformat(),
        )
    ],
)  # fmt: skip


def test_what_is_saved_is_loaded_for_its_serial_at_the_nearest_carrier(tmp_path):
    path = save(SENDER, tmp_path)
    assert path.name == "1044aa-915.000MHz.json"
    far = calibration(carrier_hz=2.4e9)
    save(far, tmp_path)
    assert load_for("1044aa", 868e6, tmp_path) == SENDER
    assert load_for("1044aa", 2.45e9, tmp_path) == far
    assert load_for("1044cc", 915e6, tmp_path) is None
    assert load_for("1044aa", 915e6, tmp_path / "none") is None


def test_a_file_of_another_pluto_is_refused(tmp_path):
    path = save(SENDER, tmp_path)
    path.rename(tmp_path / "1044cc-915.000MHz.json")
    with pytest.raises(DataError, match="is the calibration of Pluto 1044aa, not of 1044cc; remove it"):
        load_for("1044cc", 915e6, tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"carrier_hz": -1.0}, {"date": "yesterday"}, {"unknown": 1}, {"temperature_c": "warm"}, None],
)
def test_a_damaged_file_or_one_of_another_version_is_refused(tmp_path, change):
    path = save(SENDER, tmp_path)
    document = json.loads(path.read_text())
    path.write_text(path.read_text()[:100] if change is None else json.dumps(document | change))
    with pytest.raises(DataError, match=r"is no calibration of version 1 .*run airtune calibrate"):
        load_for("1044aa", 915e6, tmp_path)


def test_a_second_calibration_keeps_the_cables_that_were_not_measured_again(tmp_path):
    save(STATION, tmp_path)
    (cable,) = STATION.references
    new = msgspec.structs.replace(cable, transmitter="1044dd", offset_db=Quantity(1.0, 0.1))
    save(msgspec.structs.replace(STATION, references=[new]), tmp_path)
    kept = load_for("1044bb", 915e6, tmp_path)
    assert kept.reference_of("1044aa") == cable
    assert kept.reference_of("1044dd") == new
    better = msgspec.structs.replace(cable, offset_db=Quantity(7.0, 0.1))
    save(msgspec.structs.replace(STATION, references=[better]), tmp_path)
    assert load_for("1044bb", 915e6, tmp_path).references == [better, new]


@pytest.mark.parametrize(
    ("days", "temperature_c", "firmware", "carrier_hz", "told"),
    [
        (29, 46.0, "v0.38", 920e6, None),
        (31, 37.0, "v0.38", 915e6, "31 days ago"),
        (0, 48.0, "v0.38", 915e6, "at 37 degrees, it has 48 now; let it warm up"),
        (0, 26.0, "v0.38", 915e6, "it has 26 now"),
        (0, 37.0, "v0.39", 915e6, "with firmware v0.38, it runs v0.39"),
        (0, 37.0, "v0.38", 868e6, "at 915 MHz, not at 868 MHz"),
    ],
)
def test_what_speaks_against_a_calibration_is_told(days, temperature_c, firmware, carrier_hz, told):
    lines = warnings_of(SENDER, now_utc() + timedelta(days=days, hours=1), temperature_c, firmware, carrier_hz)
    assert len(lines) == (told is not None)
    if told:
        assert told in lines[0]


def test_gains_between_settings_lie_on_lines_and_beyond_them_keep_the_last_error():
    table = gains((0.0, 1.0), (10.0, 10.0), (20.0, 21.0))
    assert [gain_at(table, setting).value for setting in (5.0, 20.0, 30.0, -10.0)] == [5.5, 21.0, 31.0, -9.0]
    assert gain_at([], 12.0) == Quantity(12.0, 0.0)
    unsure = [gain_at(table, setting).uncertainty for setting in (10.0, 15.0, 20.0, 25.0)]
    assert unsure == pytest.approx([0.1, (0.1**2 + 0.5**2) ** 0.5, 0.1, 0.1])


def test_a_reading_becomes_channel_gain_with_what_all_of_it_is_unsure_of():
    gain = channel_gain_db(Quantity(-55.0, 0.05), SENDER, -40.0, STATION, 30.0)
    assert gain.value == pytest.approx(-55.0 + 39.0 - 30.3 - 7.2)
    assert gain.uncertainty == pytest.approx((0.05**2 + 0.1**2 + 0.1**2 + 0.3**2 + 0.3**2) ** 0.5)
    stranger = calibration("1044ee", transmitter=SENDER.transmitter)
    assert channel_gain_db(Quantity(-55.0, 0.05), stranger, -40.0, STATION, 30.0) is None
