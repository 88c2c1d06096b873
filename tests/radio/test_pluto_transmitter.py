"""A Pluto's transmitter is off whatever happens: refused values, faults, its process killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from needs import needs_pyadi
from pluto_lab import SETTINGS, device_of, ignore_writes, is_off, tone

from protocol.errors import RadioError
from radio.pluto import watchdog
from radio.pluto.attributes import XO_CORRECTION
from radio.virtual.control_messages import Drop, Unplug

pytestmark = needs_pyadi


def test_a_transmitter_found_on_is_switched_off_and_told_of(plutos, opened):
    assert any("found on" in note for note in opened("b").notes)
    assert is_off(plutos, "b")
    assert opened("b").notes == []


def test_a_transmission_that_cannot_begin_leaves_the_carrier_down(plutos, opened, monkeypatch):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    ignore_writes(monkeypatch, plutos, "b", lambda name, text: text.startswith("-10"))
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
    with monkeypatch.context() as patch:
        ignore_writes(patch, plutos, "b", lambda name, text: "-89.75" in text)
        with pytest.raises(RadioError, match=r"hardwaregain was set to -89\.75, but it reads -10"):
            pluto.stop_transmitting()
        assert not device_of(plutos, "b").transmit_lo_on
        assert pluto._connection.sdr._txbuf is None
    pluto.stop_transmitting()
    assert is_off(plutos, "b")


def test_a_connection_lost_while_sending_leaves_the_transmitter_off(plutos, opened):
    pluto = opened("b")
    pluto.configure(SETTINGS)
    pluto.transmit_cyclic(tone(4096), at_most_s=60.0)
    plutos.control(Drop(radio="b"))
    with pytest.raises(RadioError, match="given up; its transmitter is off"):
        pluto.read_attribute(XO_CORRECTION)
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
