"""Radios through UHD, on a stand-in for its blocks, without a device: what is set, read back, refused, and sent."""

from __future__ import annotations

import sys
import types
import weakref
from typing import ClassVar

import numpy as np
import pytest
from radio_lab import lab_experiment

from protocol.errors import ConfigurationError, RadioError
from radio.desk import open_receive_end, open_transmit_end

gnuradio = pytest.importorskip("gnuradio", reason="GNU Radio is missing; run: make setup")
from gnuradio import blocks, gr  # noqa: E402

COMPLEX = gr.io_signature(1, 1, gr.sizeof_gr_complex)
NOTHING = gr.io_signature(0, 0, 0)


class Settable:
    """What usrp_source and usrp_sink share of what the driver uses."""

    rate_error_hz = 0.0

    def set_samp_rate(self, rate_hz):
        self.rate_hz = rate_hz + self.rate_error_hz

    def get_samp_rate(self):
        return self.rate_hz

    def set_center_freq(self, carrier_hz, channel):
        self.carrier_hz = carrier_hz

    def get_center_freq(self, channel):
        return self.carrier_hz

    def set_gain(self, gain_db, channel):
        self.gain_db = gain_db

    def get_gain(self, channel):
        return self.gain_db

    def get_gain_range(self, channel):
        return types.SimpleNamespace(start=lambda: 0.0, stop=lambda: 76.0)


class Source(gr.hier_block2, Settable):
    """A ramp, over and over."""

    owners: ClassVar[weakref.WeakSet] = weakref.WeakSet()

    def __init__(self, address, arguments):
        if Source.owners:
            raise RuntimeError("the device is in use")
        Source.owners.add(self)
        gr.hier_block2.__init__(self, "source", NOTHING, COMPLEX)
        ramp = (np.arange(4096) / 4096).astype(np.complex64)
        self.connect(blocks.vector_source_c(ramp.tolist(), repeat=True), self)


class Sink(gr.hier_block2, Settable):
    """Keeps what was sent."""

    made: ClassVar[list] = []

    def __init__(self, address, arguments):
        gr.hier_block2.__init__(self, "sink", COMPLEX, NOTHING)
        self.kept = blocks.vector_sink_c()
        self.connect(self, self.kept)
        Sink.made.append(self)


@pytest.fixture(autouse=True)
def uhd(monkeypatch, tmp_path):
    stand_in = types.ModuleType("gnuradio.uhd")
    stand_in.usrp_source, stand_in.usrp_sink, stand_in.stream_args = Source, Sink, lambda **arguments: arguments
    monkeypatch.setitem(sys.modules, "gnuradio.uhd", stand_in)
    monkeypatch.setattr(gnuradio, "uhd", stand_in, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Sink.made.clear()
    return stand_in


def experiment(**radio):
    members = [{"name": "c0", "uri": "type=b200"}]
    return lab_experiment((), "uhd", radio={"uri": "type=b200", **radio}, clients={"members": members})


def test_a_receiver_streams_without_a_gap_and_says_that_it_was_never_tried():
    end = open_receive_end(experiment(receive_gain_db=33.0))
    assert any("never tried on hardware" in note for note in end.notes)
    for _ in range(2):
        end.start()
        samples = np.concatenate([end.read() for _ in range(8)])
        assert set(np.unique(np.diff(np.round(samples.real * 4096)))) == {1.0, -4095.0}
    end.close()
    with pytest.raises(RadioError, match="does not stream"):
        end.read()


def test_a_receiver_that_is_looked_for_lets_its_device_go_first(uhd, monkeypatch):
    end = open_receive_end(experiment())
    end.start()
    end.recover()
    end.start()
    assert len(end.read())

    def gone(address, arguments):
        raise RuntimeError("LookupError: KeyError: No devices found")

    monkeypatch.setattr(uhd, "usrp_source", gone)
    with pytest.raises(RadioError, match=r"type=b200: uhd: .*No devices found"):
        end.recover()
    with pytest.raises(RadioError, match="type=b200: was lost"):
        end.start()
    end.close()


def test_a_flowgraph_that_does_not_start_is_told(monkeypatch):
    end = open_receive_end(experiment())

    def refuse(graph):
        raise RuntimeError("check topology\nfailed")

    monkeypatch.setattr(gr.top_block, "start", refuse)
    with pytest.raises(RadioError, match="type=b200: its flowgraph does not start: check topology failed"):
        end.start()
    with pytest.raises(RadioError, match="does not start"):
        open_transmit_end(experiment(), "c0").send(np.zeros(100, np.complex64))


def test_a_transmitter_sends_every_sample_once_with_its_gain_from_the_greatest():
    end = open_transmit_end(experiment(transmit_gain_db=-20.0), "c0")
    burst = (np.arange(50_000) / 50_000).astype(np.complex64)
    end.send(burst)
    end.send(burst[:1000])
    end.close()
    (sink,) = Sink.made
    assert (sink.gain_db, sink.carrier_hz, sink.rate_hz) == (56.0, 2.4e9, 2e6)
    assert np.array_equal(np.array(sink.kept.data(), np.complex64), np.concatenate([burst, burst[:1000]]))


def test_airtime_beyond_the_duty_limit_is_refused():
    end = open_transmit_end(experiment(max_duty=1e-5), "c0")
    end.send(np.zeros(40_000, np.complex64))
    with pytest.raises(RadioError, match=r"radio\.max_duty"):
        end.send(np.zeros(40_000, np.complex64))
    assert len(Sink.made[0].kept.data()) == 40_000


@pytest.mark.parametrize(
    ("radio", "error", "told"),
    [
        ({"transmit_gain_db": -80.0}, ConfigurationError, r"transmit_gain_db .*0 to 76 dB, not -4"),
        (
            {"connection": "air", "band_hz": [863e6, 870e6], "licence": "a licence"},
            RadioError, "leaves the band of the radio profile",
        ),
    ],
)  # fmt: skip
def test_what_the_radio_cannot_or_may_not_is_refused(radio, error, told):
    with pytest.raises(error, match=told):
        open_transmit_end(experiment(**radio), "c0")


def test_a_setting_that_does_not_read_back_is_refused(monkeypatch):
    monkeypatch.setattr(Settable, "rate_error_hz", 5000.0)
    with pytest.raises(RadioError, match=r"type=b200: sample rate was set to 2e\+06, but it reads 2\.005e\+06"):
        open_receive_end(experiment())
