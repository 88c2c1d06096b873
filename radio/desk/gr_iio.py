"""Both ends of a Pluto by GNU Radio's gr-iio: flowgraphs move samples, ``radio.pluto`` sets everything else.

gr-iio opens a context of its own and is told nothing but buffer sizes: its setters do not read back (and one of 3.10.5
writes the value that was asked for before). What is in force is read after the flowgraph was built.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gnuradio import gr, iio

from protocol.configuration import Experiment
from protocol.errors import RadioError
from radio.desk.flowgraph_streams import ReceiveFlowgraph, flowgraph_into
from radio.desk.interface import Samples
from radio.desk.pluto import BUFFER_SAMPLES, PlutoReceiver, PlutoTransmitter
from radio.pluto.pluto import Pluto
from radio.pluto.transmission import PLAY_OUT_S

PUSH_S = 0.1
"""Wall-clock time that gr-iio may take to convert and push a buffer: it does not tell when it has."""


class GrIioReceiver(PlutoReceiver):
    """Implements ``radio.desk.interface.ReceiveEnd``."""

    def __init__(self, experiment: Experiment, uri: str) -> None:
        super().__init__(experiment, uri)
        self._flowgraph = ReceiveFlowgraph(uri)

    def start(self) -> None:
        """See ``ReceiveEnd``."""
        self.stop()
        source = _built(lambda: iio.fmcomms2_source_fc32(self.pluto.uri, [True, True], BUFFER_SAMPLES), self.pluto)
        self._flowgraph.start(source)
        self.pluto.verify()
        for _ in range(self.pluto.in_force.kernel_buffers + 1):
            self.read()
        self.take_overflow()

    def read(self) -> Samples:
        """See ``ReceiveEnd``."""
        return self._flowgraph.read()

    def stop(self) -> None:
        """See ``ReceiveEnd``."""
        self._flowgraph.stop()

    def recover(self) -> None:
        """See ``ReceiveEnd``."""
        self.stop()
        super().recover()

    def close(self) -> None:
        """See ``ReceiveEnd``."""
        self.stop()
        super().close()


class GrIioTransmitter(PlutoTransmitter):
    """Implements ``radio.desk.interface.TransmitEnd``."""

    def _send(self, samples: Samples) -> None:
        airtime_s = len(samples) / self.pluto.in_force.sample_rate_hz
        sink = _built(lambda: iio.fmcomms2_sink_fc32(self.pluto.uri, [True, True], len(samples), False), self.pluto)
        with flowgraph_into(sink) as stream:
            self.pluto.begin_transmission(airtime_s)
            try:
                self.pluto.verify()
                stream.write(samples)
                stream.flush()
                # When the flowgraph ends it destroys its buffer, and with it what has not left.
                time.sleep(airtime_s + PUSH_S + PLAY_OUT_S)
            finally:
                self.pluto.end_transmission()  # before the flowgraph ends, which takes a second


def _built(make: Callable[[], gr.basic_block], pluto: Pluto) -> gr.basic_block:
    """A block of gr-iio. Raises RadioError: its own errors are bare RuntimeErrors."""
    try:
        block = make()
    except RuntimeError as error:
        raise RadioError(f"{pluto.uri}: gr-iio: {error}") from error
    return block
