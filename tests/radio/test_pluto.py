"""The device layer of a Pluto, on virtual ones."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from needs import needs_pyadi

from protocol.errors import MissingPartError, RadioError
from radio.pluto import libraries, watchdog
from radio.pluto.attributes import (
    RECEIVE_GAIN_MODE,
    SAMPLE_RATE,
    TRANSMIT_CARRIER_OFF,
    TRANSMIT_GAIN,
    XO_CORRECTION,
    cause_of,
)
from radio.pluto.duty import PERIOD_S, DutyLedger
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, Limits, Settings
from radio.virtual.control_messages import Drop, Overflow, Serial, Stall, Unplug
from radio.virtual.testbed import virtual_plutos

pytestmark = needs_pyadi
RATE_HZ = 2e6
SETTINGS = Settings(carrier_hz=915e6, receive_gain_db=30.0, transmit_gain_db=-10.0, kernel_buffers=32)


@pytest.fixture(scope="module")
def plutos():
    """Radios ``a`` and ``b``, 40 dB apart, without crystal error, in wall-clock time."""
    with virtual_plutos(["a", "b"], {"medium": {"loss_db": 40.0, "crystal_ppm": 0.0}}) as plutos:
        yield plutos


@pytest.fixture
def opened(plutos):
    """Opens a Pluto; closed at the end, faults cleared."""
    found = []

    def open_pluto(name, limits=None, **options):
        found.append(Pluto(plutos.uri(name), limits, **options))
        return found[-1]

    yield open_pluto
    for pluto in found:
        pluto.close()
    for server in plutos.servers.values():
        server.radio.faults.clear()
        if not server.plugged_in:
            server.plug_in()


def device_of(plutos, name):
    return plutos.server(name).radio.front_end.settings


def is_off(plutos, name):
    settings = device_of(plutos, name)
    return not settings.transmit_lo_on and settings.transmit_gain_db == LEAST_TRANSMIT_GAIN_DB and not settings.tones


def power_db(samples):
    return 10.0 * np.log10(np.mean(np.abs(samples) ** 2))


def tone(n, cycles_per_sample=0.05, amplitude=0.5):
    return (amplitude * np.exp(2j * np.pi * cycles_per_sample * np.arange(n))).astype(np.complex64)


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


def test_a_transmitter_found_on_is_switched_off_and_told_of(plutos, opened):
    assert any("found on" in note for note in opened("b").notes)
    assert is_off(plutos, "b")
    assert opened("b").notes == []


def test_a_value_that_does_not_hold_is_named_with_what_it_reads(plutos, opened, monkeypatch):
    pluto = opened("a")
    device = plutos.server("a").radio.device
    honest = device.write
    monkeypatch.setattr(
        device, "write", lambda target, name, text: name == "xo_correction" or honest(target, name, text)
    )
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


def test_a_transmission_that_cannot_begin_leaves_the_carrier_down(plutos, opened, monkeypatch):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    device = plutos.server("b").radio.device
    honest = device.write
    monkeypatch.setattr(
        device, "write", lambda target, name, text: text.startswith("-10") or honest(target, name, text)
    )
    with pytest.raises(RadioError, match=r"voltage0 hardwaregain was set to -10, but it reads -89\.75"):
        pluto.transmit(tone(1000))
    assert is_off(plutos, "b")


def test_a_cyclic_transmission_ends_when_told_and_by_itself(plutos, opened):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    assert device_of(plutos, "b").transmit_lo_on
    pluto.stop_transmitting()
    assert is_off(plutos, "b")
    pluto.transmit_cyclic(tone(4096), at_most_s=0.05)
    assert wait_until(lambda: is_off(plutos, "b"))


def test_what_does_not_obey_keeps_nothing_else_on(plutos, opened, monkeypatch):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    device = plutos.server("b").radio.device
    honest = device.write
    with monkeypatch.context() as patch:
        patch.setattr(device, "write", lambda target, name, text: "-89.75" in text or honest(target, name, text))
        with pytest.raises(RadioError, match=r"hardwaregain was set to -89\.75, but it reads -10"):
            pluto.stop_transmitting()
        assert not device_of(plutos, "b").transmit_lo_on
        assert pluto._connection.sdr._txbuf is None
    pluto.stop_transmitting()
    assert is_off(plutos, "b")


def test_a_watchdog_that_was_killed_is_replaced_before_the_carrier_is_on(plutos, opened):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit(tone(1000))
    (first,) = watchdogs()
    first.kill()
    first.wait()
    pluto.transmit(tone(1000))
    (second,) = watchdogs()
    assert second.pid != first.pid
    pluto.close()
    assert watchdogs() == []


def watchdogs():
    return [child for child in psutil.Process().children() if "radio.pluto.watchdog" in child.cmdline()]


def test_a_transmission_that_its_process_does_not_end_is_ended_by_the_watchdog(plutos, opened, monkeypatch, capsys):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    said = []
    monkeypatch.setattr(watchdog.Watchdog, "_say", lambda self, words: said.append(words))
    pluto.transmit(tone(10_000))
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    assert said == [b"on 0.005000\n", b"off\n", b"on 60.000000\n"]
    monkeypatch.undo()
    monkeypatch.setattr(watchdog, "OVERRUN_S", 0.05)
    reading, writing = os.pipe()
    watching = threading.Thread(target=watchdog.main, args=(plutos.uri("b"), reading))
    watching.start()
    os.write(writing, b"on 0.000000\noff\n")
    time.sleep(0.2)
    assert not is_off(plutos, "b")
    os.write(writing, b"on 0.010000\n")
    assert wait_until(lambda: is_off(plutos, "b"))
    os.write(writing, b"done\n")
    watching.join()
    assert "did not switch the transmitter off in time; it is off now" in capsys.readouterr().err


def test_a_watchdog_tries_again_when_its_pluto_is_out_of_reach(plutos, opened, monkeypatch, capsys):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    uri, waited = plutos.uri("b"), []
    plutos.control(Unplug(radio="b"))
    monkeypatch.setattr(watchdog.time, "sleep", waited.append)
    assert watchdog.main(uri, os.open(os.devnull, os.O_RDONLY)) == 1
    assert waited == list(watchdog.WAITS_S)
    told = capsys.readouterr().err
    assert f"the transmitter off and it may be on: {uri}: cannot be opened: Connection refused" in told
    in_reach = {watchdog.WAITS_S[2]: plutos.server("b").plug_in}
    monkeypatch.setattr(watchdog.time, "sleep", lambda seconds: in_reach.get(seconds, bool)())
    assert watchdog.main(uri, os.open(os.devnull, os.O_RDONLY)) == 0
    assert is_off(plutos, "b")
    assert "it is off now" in capsys.readouterr().err


def wait_until(condition, limit_s=20.0):
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_lost_samples_are_told(plutos, opened):
    pluto = opened("a")
    pluto.configure(SETTINGS)
    pluto.start_receiving()
    plutos.control(Overflow(radio="a", samples=100_000))
    for _ in range(4):
        pluto.read()
    assert pluto.take_overflow()
    assert not pluto.take_overflow()


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


def test_a_connection_lost_while_sending_leaves_the_transmitter_off(plutos, opened):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    plutos.control(Drop(radio="b"))
    with pytest.raises(RadioError, match="given up; its transmitter is off"):
        pluto.read_attribute(XO_CORRECTION)
    assert is_off(plutos, "b")


SENDER = """
import sys, time
import numpy as np
from radio.pluto.pluto import Pluto
from radio.pluto.settings import Settings
pluto = Pluto(sys.argv[1])
pluto.configure(Settings(carrier_hz=915e6))
pluto.transmit_cyclic(np.full(4096, 0.5, np.complex64), at_most_s=600.0)
print("sending", flush=True)
{then}
"""


@pytest.mark.parametrize(
    ("then", "number", "told"),
    [
        ("time.sleep(600)", signal.SIGKILL, "its user ended without switching the transmitter off; it is off now"),
        ("time.sleep(600)", signal.SIGTERM, "it is off now"),
        ("raise RuntimeError", None, None),
        ("", None, None),
    ],
    ids=["kill -9", "SIGTERM", "error", "exit"],
)
def test_the_transmitter_is_off_however_its_process_ended(plutos, then, number, told):
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER.format(then=then), plutos.uri("b")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "sending\n"
        if number is not None:
            assert device_of(plutos, "b").transmit_lo_on
            os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)  # the watchdog holds stderr until it is done
    finally:
        process.kill()
    assert is_off(plutos, "b")
    assert (told in err) if told else ("airtune:" not in err)


def test_a_busy_radio_is_told_as_one():
    assert cause_of(OSError(errno.EBUSY, "")) == "Device or resource busy (errno 16); another program uses it"
    assert cause_of(OSError(errno.EINVAL, "")) == "Invalid argument (errno 22)"
