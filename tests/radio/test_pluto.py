"""A Pluto's settings, its samples and its connection, on virtual ones."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest
from needs import needs_pyadi
from pluto_lab import RATE_HZ, SETTINGS, device_of, ignore_writes, is_off, tone

from protocol.errors import MissingPartError, RadioError
from radio.pluto import libraries
from radio.pluto.attributes import RECEIVE_GAIN_MODE, SAMPLE_RATE, XO_CORRECTION, cause_of
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Settings
from radio.virtual.control_messages import Overflow, Serial, Stall, Unplug

pytestmark = needs_pyadi


def power_db(samples):
    return 10.0 * np.log10(np.mean(np.abs(samples) ** 2))


def test_what_is_set_is_in_force_and_the_transmitter_is_off(plutos, opened):
    pluto = opened("a")
    pluto.configure(SETTINGS)
    inside = device_of(plutos, "a")
    assert (inside.sample_rate_hz, inside.receive_lo_hz, inside.transmit_lo_hz) == (RATE_HZ, 915e6, 915e6)
    assert (inside.gain_mode, inside.manual_gain_db) == ("manual", 30)
    assert is_off(plutos, "a")
    assert pluto.serial == plutos.server("a").radio.device.serial
    assert pluto.firmware == "v0.38"
    assert pluto.temperature_c() == pytest.approx(37.0, abs=0.1)
    assert pluto.context_attributes["ad9361-phy,model"] == "ad9363a"


def test_a_value_that_does_not_hold_is_named_with_what_it_reads(plutos, opened, monkeypatch):
    pluto = opened("a")
    ignore_writes(monkeypatch, plutos, "a", lambda name, text: name == "xo_correction")
    with pytest.raises(
        RadioError, match=r"ip:\S+: ad9361-phy xo_correction was set to 40000100, but it reads 40000000"
    ):
        pluto.write_attribute(XO_CORRECTION, "40000100")


def test_a_refused_value_leaves_the_connection_alone(plutos, opened):
    pluto = opened("a")
    with pytest.raises(
        RadioError, match=r"altvoltage0 frequency = 100000000 is refused: Invalid argument \(errno 22\)"
    ):
        pluto.configure(Settings(carrier_hz=100e6))
    pluto.configure(SETTINGS)
    assert pluto.read_attribute(RECEIVE_GAIN_MODE) == "manual"


def test_nobody_at_an_address_is_told_with_the_errno():
    with pytest.raises(RadioError, match=r"ip:127\.0\.0\.250: cannot be opened: Connection refused \(errno 111\)"):
        Pluto("ip:127.0.0.250")


def test_a_busy_radio_is_told_as_one():
    assert cause_of(OSError(errno.EBUSY, "")) == "Device or resource busy (errno 16); another program uses it"
    assert cause_of(OSError(errno.EINVAL, "")) == "Invalid argument (errno 22)"


def test_a_wrong_or_missing_library_is_named_with_its_pin(monkeypatch):
    for found, told in (({"pylibiio": "1.0", "pyadi-iio": "0.0.21"}, "pylibiio 1.0 is installed.*pylibiio==0.25"),
                        ({"pylibiio": "0.25", "pyadi-iio": None}, "pyadi-iio==0.0.21 is missing")):  # fmt: skip
        monkeypatch.setattr(libraries, "installed_versions", lambda found=found: found)
        with pytest.raises(MissingPartError, match=told + r".*pip install \"airtune\[pluto\]\""):
            libraries.load_libraries()


def test_a_burst_crosses_whole_and_the_transmitter_is_off_again(plutos, opened):
    receiver, sender = opened("a"), opened("b")
    receiver.configure(SETTINGS)
    sender.configure(SETTINGS)
    burst = np.concatenate([np.zeros(1000), tone(60_000), np.zeros(1000)]).astype(np.complex64)
    receiver.start_receiving()
    sending = threading.Thread(target=sender.transmit, args=(burst,))
    sending.start()
    heard = []
    while sending.is_alive():
        heard.append(receiver.read())
    heard += [receiver.read() for _ in range(SETTINGS.kernel_buffers)]  # what waited there meanwhile
    heard = np.concatenate(heard)
    assert is_off(plutos, "b")
    loud = np.flatnonzero(np.abs(heard) > 0.02)
    assert loud[-1] - loud[0] == pytest.approx(60_000, abs=300)
    expected_db = 7.0 - 10.0 - 6.02 - 40.0 + 30.0
    assert power_db(heard[loud[0] + 500 : loud[-1] - 500]) == pytest.approx(expected_db, abs=0.3)


def test_lost_samples_are_told(plutos, opened):
    pluto = opened("a")
    pluto.configure(SETTINGS)
    pluto.start_receiving()
    plutos.control(Overflow(radio="a", samples=100_000))
    for _ in range(4):
        pluto.read()
    assert pluto.take_overflow()
    assert not pluto.take_overflow()


def test_after_a_stall_the_connection_is_given_up_and_a_new_one_tells_the_truth(plutos, opened):
    pluto = opened("a", timeout_s=0.3)
    pluto.configure(SETTINGS)
    plutos.control(Stall(radio="a"))
    with pytest.raises(RadioError, match=r"xo_correction: .*\(errno \d+\).*; the connection was given up"):
        pluto.read_attribute(XO_CORRECTION)
    with pytest.raises(RadioError, match="there is no connection"):
        pluto.read_attribute(XO_CORRECTION)
    plutos.server("a").radio.faults.clear()
    pluto.reconnect()
    assert float(pluto.read_attribute(SAMPLE_RATE)) == RATE_HZ
    assert len(pluto.receive(5000)) == 5000


def test_a_radio_that_comes_back_is_found_by_the_ladder_and_another_is_refused(plutos, opened):
    pluto = opened("a")
    pluto.configure(SETTINGS)
    plutos.control(Unplug(radio="a"))
    with pytest.raises(RadioError, match="given up"):
        pluto.read_attribute(XO_CORRECTION)
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            plutos.server("a").plug_in()

    pluto.reconnect(sleep=sleep)
    assert waited == [0.0, 0.2, 0.5]
    assert device_of(plutos, "a").sample_rate_hz == RATE_HZ
    assert is_off(plutos, "a")
    plutos.control(Serial(radio="a", same_as="b"))
    with pytest.raises(RadioError, match=r"Pluto \w+ answers where Pluto \w+ was"):
        pluto.reconnect()
    plutos.control(Unplug(radio="a"))
    with pytest.raises(RadioError, match=r"Connection refused \(errno 111\).*tried 2 times"):
        pluto.reconnect(waits_s=(0.0, 0.0))
