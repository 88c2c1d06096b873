"""What a Pluto may not send: beyond its band, its gain, or its airtime of an hour."""

from __future__ import annotations

import pytest
from needs import needs_pyadi
from pluto_lab import RATE_HZ, SETTINGS, is_off, tone

from protocol.errors import RadioError
from radio.pluto.attributes import SAMPLE_RATE, TRANSMIT_CARRIER_OFF, TRANSMIT_GAIN
from radio.pluto.duty import PERIOD_S, DutyLedger
from radio.pluto.settings import Limits, Settings

pytestmark = needs_pyadi


@pytest.mark.parametrize(
    ("limits", "settings", "told"),
    [
        (Limits(max_transmit_gain_db=-30.0), SETTINGS, "transmit gain -10 dB is above the limit.*-30 dB"),
        (Limits(band_hz=(868e6, 870e6)), SETTINGS, "915 MHz .* leaves the band.*868 to 870 MHz"),
        (Limits(band_hz=(914e6, 916e6)), Settings(carrier_hz=915.1e6), "leaves the band"),
        (Limits(band_hz=(914e6, 916e6)), Settings(carrier_hz=915e6, transmit_shift_hz=2e5), "915.2 MHz .* leaves"),
    ],
)
def test_nothing_beyond_band_and_gain_is_set(opened, limits, settings, told):
    with pytest.raises(RadioError, match=told):
        opened("b", limits).configure(settings)


def test_the_limits_cannot_be_passed_by_with_attributes(opened):
    pluto = opened("b", Limits(max_transmit_gain_db=-30.0))
    for attribute, value in ((TRANSMIT_GAIN, 0.0), (TRANSMIT_CARRIER_OFF, "0"), (SAMPLE_RATE, 20e6)):
        with pytest.raises(RadioError, match="keep the limits"):
            pluto.write_attribute(attribute, value)
    pluto.configure(Settings(carrier_hz=915e6, transmit_gain_db=-40.0))
    pluto.settings = SETTINGS
    with pytest.raises(RadioError, match="above the limit"):
        pluto.transmit(tone(100))


def test_airtime_beyond_the_duty_limit_is_refused_whoever_opened_the_radio(plutos, opened, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    limits = Limits(max_duty=0.1 / PERIOD_S)
    first = opened("b", limits)
    first.configure(SETTINGS)
    first.transmit(tone(round(0.06 * RATE_HZ)))
    first.close()
    again = opened("b", limits)
    again.configure(SETTINGS)
    with pytest.raises(RadioError, match=r"0\.1 s of the past hour; 0\.06 s more would pass the limit"):
        again.transmit(tone(round(0.06 * RATE_HZ)))
    assert is_off(plutos, "b")


def test_airtime_of_more_than_an_hour_ago_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    now = [1e9]
    ledger = DutyLedger("1044", 0.01, clock=lambda: now[0])
    ledger.spend(36.0)
    now[0] += PERIOD_S - 1.0
    with pytest.raises(RadioError):
        ledger.spend(0.1)
    now[0] += 2.0
    ledger.spend(36.0)


def test_airtime_is_neither_lost_with_a_clock_set_back_nor_with_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    now = [1e9]
    ledger = DutyLedger("1044", 0.01, clock=lambda: now[0])
    for _ in range(100):
        ledger.spend(0.3)
        now[0] += 0.01
    (file,) = tmp_path.glob("*/*")
    assert file.stat().st_size < 200
    now[0] -= 600.0
    with pytest.raises(RadioError, match=r"30\.0 s of the past hour; 7\.00 s more"):
        ledger.spend(7.0)
    ledger.spend(5.9)
    file.write_bytes(b"\0" * 64)
    with pytest.raises(RadioError, match=r"json is damaged.*remove the file an hour after"):
        ledger.spend(0.1)
