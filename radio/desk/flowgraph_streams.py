"""Samples into and out of a running flowgraph, through pipes: blocks in C++ at one end, numpy at the other."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from gnuradio import blocks, gr

from protocol.errors import RadioError
from radio.desk.interface import Samples

_ITEM = gr.sizeof_gr_complex
_PIPE_BYTES = 1 << 20
_READ_SAMPLES = 1 << 14
SILENCE_LIMIT_S = 5.0
"""A source that gives nothing for so long has failed."""


class StreamOut:
    """A sink block whose samples are read here."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        _enlarge(self._write)
        self.block: gr.basic_block = blocks.file_descriptor_sink(_ITEM, os.dup(self._write))
        self._left = b""

    def read(self) -> Samples:
        """The next samples, complex64. Raises RadioError if none come for ``SILENCE_LIMIT_S``."""
        wanted = _READ_SAMPLES * _ITEM
        pieces, length = [self._left], len(self._left)
        while length < wanted:
            if not select.select([self._read], [], [], SILENCE_LIMIT_S)[0]:
                raise RadioError(f"its flowgraph gave no samples for {SILENCE_LIMIT_S:g} s")
            piece = os.read(self._read, wanted - length)
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        whole = length // _ITEM * _ITEM
        self._left = data[whole:]
        return np.frombuffer(data[:whole], np.complex64)

    def drain(self) -> None:
        """Throw away what waits, so that a flowgraph that cannot write can end."""
        while select.select([self._read], [], [], 0.0)[0] and os.read(self._read, _PIPE_BYTES):
            pass

    def close(self) -> None:
        """Close the pipe (the block has its own end)."""
        os.close(self._read)
        os.close(self._write)


class StreamIn:
    """A source block that gives what is written here, and ends after ``end``."""

    def __init__(self) -> None:
        read, self._write = os.pipe()
        _enlarge(self._write)
        os.set_blocking(self._write, False)
        # The block closes the descriptor it is given.
        self.block: gr.basic_block = blocks.file_descriptor_source(_ITEM, read, False)

    def write(self, samples: Samples) -> None:
        """Hand over ``samples``: all but what a pipe holds were taken. RadioError if that stops for too long."""
        view = np.ascontiguousarray(samples, np.complex64).data.cast("B")
        while view:
            if not select.select([], [self._write], [], SILENCE_LIMIT_S)[1]:
                raise RadioError(f"its flowgraph took no samples for {SILENCE_LIMIT_S:g} s")
            try:
                view = view[os.write(self._write, view) :]
            except BrokenPipeError as error:
                raise RadioError("its flowgraph has ended") from error

    def flush(self) -> None:
        """Wait until the flowgraph took everything. RadioError if that takes too long."""
        deadline = time.monotonic() + SILENCE_LIMIT_S
        while struct.unpack("i", fcntl.ioctl(self._write, termios.FIONREAD, b"\0" * 4))[0] > 0:
            if time.monotonic() > deadline:
                raise RadioError(f"its flowgraph took no samples for {SILENCE_LIMIT_S:g} s")
            time.sleep(0.001)

    def end(self) -> None:
        """Let the flowgraph come to its end."""
        os.close(self._write)


class ReceiveFlowgraph:
    """A radio's stream: from a source block into the samples read here, as often as it is started."""

    def __init__(self, uri: str) -> None:
        """``uri``: what errors name."""
        self._uri = uri
        self._stream: StreamOut | None = None
        self._graph: gr.top_block | None = None

    def start(self, source: gr.basic_block) -> None:
        """Stream from ``source``; nothing of an earlier stream is left. Raises RadioError."""
        self.stop()
        self._stream, self._graph = StreamOut(), gr.top_block("capture")
        self._graph.connect(source, self._stream.block)
        try:
            _start(self._graph)
        except RadioError as error:
            self.stop()
            raise RadioError(f"{self._uri}: {error}") from error

    def read(self) -> Samples:
        """The next samples, complex64. Raises RadioError without a stream, or if it stands still."""
        if self._stream is None:
            raise RadioError(f"{self._uri}: does not stream")
        try:
            return self._stream.read()
        except RadioError as error:
            raise RadioError(f"{self._uri}: {error}") from error

    def stop(self) -> None:
        """End the stream; safe without one."""
        if self._graph is not None and self._stream is not None:
            self._graph.stop()
            self._stream.drain()
            self._graph.wait()
            self._stream.close()
            self._graph = self._stream = None


@contextmanager
def flowgraph_into(sink: gr.basic_block) -> Iterator[StreamIn]:
    """A running flowgraph into ``sink``, which ends, with all that was written, when the context does.

    Raises RadioError if it does not start.
    """
    stream, graph = StreamIn(), gr.top_block("transmission")
    graph.connect(stream.block, sink)
    try:
        _start(graph)
        yield stream
    finally:
        stream.end()
        graph.wait()


def _start(graph: gr.top_block) -> None:
    try:
        graph.start()
    except RuntimeError as error:  # all that blocks know to raise
        raise RadioError(f"its flowgraph does not start: {' '.join(str(error).split())}") from error


def _enlarge(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
