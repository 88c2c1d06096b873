"""Both ends of radios that GNU Radio drives through UHD or SoapySDR. Never tried on hardware; every radio says so.

Gains: a receiver's is set as it is; a transmitter's counts from the greatest that the radio has, so that 0 means the
same as for a Pluto. What does not read back as it was set is refused.
"""

from __future__ import annotations

import time
from typing import Any

from gnuradio import gr

from protocol.configuration import Experiment, RadioTable
from protocol.errors import ConfigurationError, RadioError
from radio.desk.flowgraph_streams import ReceiveFlowgraph, flowgraph_into
from radio.desk.interface import ReceiveEnd, Samples, TransmitEnd
from radio.pluto.duty import DutyLedger
from radio.pluto.settings import profile_limits, profile_settings

_CHANNEL = 0
_TOLERANCE_HZ = 100.0
_TOLERANCE_DB = 1.0
_PLAY_OUT_S = 0.1


def open_other_receiver(experiment: Experiment, uri: str) -> ReceiveEnd:
    """A receiver; ``uri``: device arguments. Raises RadioError with what the library says."""
    return _Receiver(experiment, uri)


def open_other_transmitter(experiment: Experiment, uri: str) -> TransmitEnd:
    """A transmitter; ``uri``: device arguments. Raises RadioError with what the library says."""
    return _Transmitter(experiment, uri)


class _End:
    """What both ends share: the profile, and a block made from it."""

    def __init__(self, experiment: Experiment, uri: str, sends: bool) -> None:
        self._radio = experiment.radio
        self._uri = uri
        self._sends = sends
        self.notes = [f'{uri}: radio.driver = "{self._radio.driver}" was never tried on hardware']
        profile_limits(self._radio).check(uri, profile_settings(self._radio))

    def _block(self) -> gr.basic_block:
        """A source or sink, set up and read back. Raises RadioError."""
        try:
            block = (_uhd_block if self._radio.driver == "uhd" else _soapy_block)(self._uri, self._sends)
            self._set_up(block)
        except (RuntimeError, ValueError) as error:
            raise RadioError(f"{self._uri}: {self._radio.driver}: {' '.join(str(error).split())}") from error
        return block

    def _set_up(self, block: Any) -> None:
        radio = self._radio
        gain_db = _gain_db(block, radio, self._sends)
        if radio.driver == "uhd":
            block.set_samp_rate(radio.sample_rate_hz)
            block.set_center_freq(radio.carrier_hz, _CHANNEL)
            block.set_gain(gain_db, _CHANNEL)
            found = block.get_samp_rate(), block.get_center_freq(_CHANNEL), block.get_gain(_CHANNEL)
        else:
            block.set_sample_rate(_CHANNEL, radio.sample_rate_hz)
            block.set_frequency(_CHANNEL, radio.carrier_hz)
            if not self._sends and block.has_gain_mode(_CHANNEL):
                block.set_gain_mode(_CHANNEL, False)
            block.set_gain(_CHANNEL, gain_db)
            found = block.get_sample_rate(_CHANNEL), block.get_frequency(_CHANNEL), block.get_gain(_CHANNEL)
        wanted = radio.sample_rate_hz, radio.carrier_hz, gain_db
        limits = _TOLERANCE_HZ, _TOLERANCE_HZ, _TOLERANCE_DB
        for name, want, find, limit in zip(("sample rate", "carrier", "gain"), wanted, found, limits, strict=True):
            if abs(want - find) > limit:
                raise RadioError(f"{self._uri}: {name} was set to {want:g}, but it reads {find:g}")


class _Receiver(_End):
    """Implements ``radio.desk.interface.ReceiveEnd``."""

    calibration = None

    def __init__(self, experiment: Experiment, uri: str) -> None:
        super().__init__(experiment, uri, sends=False)
        self.identity = {"uri": uri}
        self._source: gr.basic_block | None = self._block()
        self._flowgraph = ReceiveFlowgraph(uri)

    def start(self) -> None:
        """See ``ReceiveEnd``."""
        if self._source is None:
            raise RadioError(f"{self._uri}: was lost")
        self._flowgraph.start(self._source)

    def read(self) -> Samples:
        """See ``ReceiveEnd``."""
        return self._flowgraph.read()

    def take_overflow(self) -> bool:
        """See ``ReceiveEnd``. These blocks print an O and tell nobody else."""
        return False

    def stop(self) -> None:
        """See ``ReceiveEnd``."""
        self._flowgraph.stop()

    def recover(self) -> None:
        """See ``ReceiveEnd``."""
        self.stop()
        self._source = None  # first: a device is nobody's twice
        self._source = self._block()

    def close(self) -> None:
        """See ``ReceiveEnd``."""
        self.stop()


class _Transmitter(_End):
    """Implements ``radio.desk.interface.TransmitEnd``."""

    def __init__(self, experiment: Experiment, uri: str) -> None:
        super().__init__(experiment, uri, sends=True)
        self._ledger = DutyLedger(f"{self._radio.driver} {uri}", self._radio.max_duty)
        self._sink = self._block()

    def send(self, samples: Samples) -> None:
        """See ``TransmitEnd``. The library switches the transmitter off with the flowgraph."""
        airtime_s = len(samples) / self._radio.sample_rate_hz
        self._ledger.spend(airtime_s)
        with flowgraph_into(self._sink) as stream:
            stream.write(samples)
            stream.flush()
            time.sleep(airtime_s + _PLAY_OUT_S)

    def close(self) -> None:
        """See ``TransmitEnd``."""


def _uhd_block(uri: str, sends: bool) -> Any:
    from gnuradio import uhd

    arguments = uhd.stream_args(cpu_format="fc32", channels=[_CHANNEL])
    return (uhd.usrp_sink if sends else uhd.usrp_source)(uri, arguments)


def _soapy_block(uri: str, sends: bool) -> Any:
    from gnuradio import soapy

    return (soapy.sink if sends else soapy.source)(uri, "fc32", 1, "", "", [""], [""])


def _gain_db(block: Any, radio: RadioTable, sends: bool) -> float:
    """What the block is told. Raises ConfigurationError if the radio cannot."""
    span = block.get_gain_range(_CHANNEL)
    low_db, high_db = (span.start(), span.stop()) if radio.driver == "uhd" else (span.minimum(), span.maximum())
    gain_db = high_db + radio.transmit_gain_db if sends else radio.receive_gain_db
    if not low_db <= gain_db <= high_db:
        key = "transmit_gain_db (from the greatest)" if sends else "receive_gain_db"
        raise ConfigurationError(
            f"radio.{key}: this radio has gains from {low_db:g} to {high_db:g} dB, not {gain_db:g}"
        )
    return float(gain_db)
