"""Radios on a desk when things go wrong: virtual Plutos unplugged, limits passed, processes killed, parts missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import psutil
import pytest
from needs import needs_pyadi
from radio_lab import TIMEOUT_S, DeskLab, lab_experiment, open_lab, sounding

from protocol.errors import MissingPartError, RadioError
from radio import desk
from radio.desk import open_receive_end, open_transmit_end
from radio.drivers import open_base_station_radio, open_client_radio
from radio.numerology import DEFAULT_2MSPS
from radio.processes import outlets
from radio.virtual.control_messages import Drop, Unplug

pytestmark = needs_pyadi


@pytest.fixture(scope="module")
def lab():
    lab = open_lab((20.0, 20.0), "pluto")
    yield lab
    lab.close()


def is_off(lab, name):
    settings = lab.plutos.server(name).radio.front_end.settings
    return not settings.transmit_lo_on and settings.transmit_gain_db == -89.75


def wait_until(condition, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def with_radio(lab, **radio):
    return msgspec.structs.replace(lab.experiment, radio=msgspec.structs.replace(lab.experiment.radio, **radio))


def test_a_base_station_s_radio_that_drops_its_connection_is_found_again(lab):
    lab.hear("sounding", [sounding("c0")])
    burst = sounding("c0", burst_id=2)
    window = lab.window("sounding", [burst])
    lab.base_station.arm(window, [burst])
    lab.plutos.control(Drop(radio="bs"))
    # What is sent while it is looked for is lost; the next window is like any other.
    lab.clients["c0"].transmit(window, burst, [])
    report = lab.base_station.collect(TIMEOUT_S)
    assert any("lost and found again" in warning for warning in report.warnings)
    report, _ = lab.hear("sounding", [sounding("c0", burst_id=3)])
    assert report.bursts[0].detected


def test_a_base_station_s_radio_that_drops_its_connection_between_windows_is_not_missed(lab):
    lab.hear("sounding", [sounding("c0")])
    front_end = lab.plutos.server("bs").radio.front_end
    assert wait_until(lambda: front_end.streams)
    lab.plutos.control(Drop(radio="bs"))
    assert wait_until(lambda: not front_end.streams)
    report, _ = lab.hear("sounding", [sounding("c0", burst_id=8)])
    assert report.bursts[0].detected


def test_a_client_s_radio_that_drops_its_connection_is_found_again_and_sends(lab):
    lab.hear("sounding", [sounding("c1")])
    lab.plutos.control(Drop(radio="c1"))
    report, (sent,) = lab.hear("sounding", [sounding("c1", burst_id=4)])
    assert report.bursts[0].detected
    assert sent.air_samples > 0
    assert is_off(lab, "c1")


def test_a_radio_that_is_gone_is_named_with_the_errno():
    other = DeskLab((20.0,), "pluto")
    try:
        other.hear("sounding", [sounding("c0")])
        other.plutos.control(Unplug(radio="c0"))
        with pytest.raises(
            RadioError, match=r"transmitter of 'c0': ip:\S+ cannot be opened: .*errno 111.*tried 5 times"
        ):
            other.clients["c0"].transmit(other.window("sounding", [sounding("c0")]), sounding("c0"), [])
        other.plutos.server("c0").plug_in()
        other.plutos.control(Unplug(radio="bs"))
        with pytest.raises(RadioError, match=r"ip:\S+ cannot be opened: .*errno 111"):
            open_base_station_radio(other.experiment)
    finally:
        other.close()


@pytest.mark.parametrize("driver", ["pluto", "gr-iio"])
def test_no_driver_sends_beyond_the_limits_of_its_profile(lab, driver, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    burst = sounding("c0", burst_id=6)
    for radio, told in (
        ({"max_duty": 5e-7}, r"past hour.*radio\.max_duty"),
        ({"connection": "air", "band_hz": [863e6, 870e6], "licence": "a licence"}, r"leaves the band.*863 to 870 MHz"),
    ):
        lab.clients["c0"].close()
        client = open_client_radio("c0", with_radio(lab, driver=driver, **radio), "")
        try:
            with pytest.raises(RadioError, match=told):
                client.transmit(lab.window("sounding", [burst]), burst, [])
        finally:
            client.close()
        assert is_off(lab, "c0")
    lab.clients["c0"] = open_client_radio("c0", lab.experiment, "")


def test_levels_that_cannot_be_right_are_warned_of_once():
    lab = DeskLab((20.0, 75.0), "pluto")
    try:
        assert 50.0 < lab.loss_db["c0"] < 90.0
        lab.base_station._experiment = with_radio(lab, cable_attenuation_db=100.0)
        told = [
            text
            for index in range(2)
            for name in ("c0", "c1")
            for text in lab.hear("sounding", [sounding(name, burst_id=10 * index + int(name[1]))])[0].warnings
        ]
        assert sum("'c0' arrives with" in text and "check the attenuators" in text for text in told) == 1
        assert sum("the receiver clips" in text and "radio.receive_gain_db (50)" in text for text in told) == 1
    finally:
        lab.close()


SENDER = """
import sys, msgspec
from protocol.bursts import SoundingBurst, Window
from protocol.configuration import Experiment
from radio.drivers import open_client_radio
radio = open_client_radio("c0", msgspec.json.decode(sys.stdin.buffer.read(), type=Experiment), "")
while True:
    radio.transmit(Window("s", 1, 1, "sounding", 8192), SoundingBurst("c0", 1, 0, 28), [])
"""


@pytest.mark.parametrize("driver", ["pluto", "gr-iio"])
def test_kill_9_of_a_sending_client_leaves_neither_a_carrier_nor_a_process(lab, driver):
    lab.clients["c0"].close()
    app = subprocess.Popen([sys.executable, "-c", SENDER], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    app.stdin.write(msgspec.json.encode(with_radio(lab, driver=driver)))
    app.stdin.close()
    settings = lab.plutos.server("c0").radio.front_end
    try:
        assert wait_until(lambda: settings.settings.transmit_lo_on)
        children = psutil.Process(app.pid).children(recursive=True)
        os.kill(app.pid, signal.SIGKILL)
        told = app.stderr.read().decode()  # ends when the last of them has
    finally:
        app.kill()
        app.wait()
    assert is_off(lab, "c0")
    assert "without switching the transmitter off; it is off now" in told
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    lab.clients["c0"] = open_client_radio("c0", lab.experiment, "")


BY_FLOWGRAPH = """
import sys, msgspec
import numpy as np
from gnuradio import gr
from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.desk import open_transmit_end
from radio.pluto.attributes import TRANSMIT_CARRIER_OFF, TRANSMIT_GAIN
end = open_transmit_end(msgspec.json.decode(sys.stdin.buffer.read(), type=Experiment), "c0")
wait = gr.top_block.wait
def noting(graph):
    print("carrier off:", end.pluto.read_attribute(TRANSMIT_CARRIER_OFF), file=sys.stderr)
    wait(graph)
gr.top_block.wait = noting
burst = np.full(4096, 0.1, np.complex64)
end.send(burst)
end.pluto.verify = lambda: end.pluto.write_attribute(TRANSMIT_GAIN, 0.0)
try:
    end.send(burst)
except RadioError as error:
    print(error, file=sys.stderr)
end.close()
"""


def test_by_gr_iio_the_carrier_is_down_before_its_flowgraph_ends(lab):
    lab.clients["c0"].close()
    experiment = msgspec.json.encode(with_radio(lab, driver="gr-iio"))
    done = subprocess.run([sys.executable, "-c", BY_FLOWGRAPH], input=experiment, capture_output=True, timeout=60)
    told = [line for line in done.stderr.decode().splitlines() if line.startswith("carrier off") or "limits" in line]
    assert told[:2] == ["carrier off: 1", "carrier off: 1"]
    assert "keep the limits" in told[2]
    lab.clients["c0"] = open_client_radio("c0", lab.experiment, "")


class FoundAgain:
    """A transmitter that is lost and found again, with its carrier on, by its second burst."""

    def __init__(self):
        self.notes = ["never tried"]
        self.bursts = 0

    def send(self, samples):
        self.bursts += 1
        if self.bursts == 2:
            self.notes.append("the transmitter was found on")
            raise RadioError("gone again")


def test_what_is_known_of_a_client_s_radio_is_said_once_also_later(lab, monkeypatch, capsys):
    monkeypatch.setattr(outlets, "open_transmit_end", lambda experiment, client: FoundAgain())
    outlet = outlets.AntennaOutlet(lab.experiment, "c0", DEFAULT_2MSPS)
    window, silence = lab.window("sounding", [sounding("c0")]), np.zeros(8, np.complex64)
    outlet.send(window, silence)
    assert capsys.readouterr().err == "airtune: client 'c0': never tried\n"
    with pytest.raises(RadioError):
        outlet.send(window, silence)
    outlet.send(window, silence)
    assert capsys.readouterr().err == "airtune: client 'c0': the transmitter was found on\n"


@pytest.mark.parametrize("driver", ["uhd", "soapy"])
def test_other_radios_need_their_gnu_radio_blocks_and_a_device(driver, monkeypatch):
    members = [{"name": "c0", "uri": "type=none"}]
    experiment = lab_experiment((), driver, radio={"uri": "type=none"}, clients={"members": members})
    for opening in (open_receive_end, lambda experiment: open_transmit_end(experiment, "c0")):
        with pytest.raises(RadioError, match=rf"type=none: {driver}: .*([Nn]o devices|no match)"):
            opening(experiment)
    monkeypatch.setitem(sys.modules, f"gnuradio.{driver}", None)
    with pytest.raises(MissingPartError, match=rf"gr-{driver} is missing from this machine's GNU Radio"):
        desk.open_receive_end(experiment)
