"""Clients that stream to and from a Pluto as fast as it lets them: the IIOD text protocol on plain sockets."""

from __future__ import annotations

import contextlib
import socket
import threading

import numpy as np

ADC, DAC, PHY = "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc", "ad9361-phy"
FIR = "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "1,1\n" * 128
"""Any filter: rates below 2.083 Msps need one."""


class Connection:
    """One connection to a server at an ``ip:host[:port]`` URI."""

    def __init__(self, uri: str) -> None:
        host, _, port = uri.removeprefix("ip:").partition(":")
        self._socket = socket.create_connection((host, int(port or 30431)), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", 1 << 18)

    def ask(self, line: str, data: bytes = b"") -> int:
        """Send a line (and bytes right behind it); the number that is answered."""
        self._socket.sendall(line.encode() + b"\r\n" + data)
        return self._number()

    def write(self, place: str, attribute: str, value: object) -> None:
        """Set an attribute; raises RuntimeError if it is refused."""
        data = str(value).encode() + b"\0"
        if self.ask(f"WRITE {place} {attribute} {len(data)}", data) < 0:
            raise RuntimeError(f"{place} {attribute} = {value} was refused")

    def take(self, size: int) -> int:
        """Bytes of one READBUF of ``size`` bytes; 0 if the stream has ended."""
        self._socket.sendall(f"READBUF {ADC} {size}\r\n".encode())
        if self._number() != size:
            return 0
        self._file.readline()
        return len(self._file.read(size))

    def push(self, data: bytes) -> int:
        """Bytes taken of one WRITEBUF."""
        if self.ask(f"WRITEBUF {DAC} {len(data)}") != 0:
            return 0
        self._socket.sendall(data)
        return self._number()

    def read(self, place: str, attribute: str) -> bytes:
        """Value of an attribute."""
        return self._file.read(self.ask(f"READ {place} {attribute}") + 1)

    def _number(self) -> int:
        """The number on the next line; 0 if the connection has ended."""
        return int(self._file.readline() or 0)


def configure(uri: str, rate_hz: int) -> None:
    """Sample rate, one carrier for all, gains by hand."""
    control = Connection(uri)
    control.write(f"{PHY} INPUT voltage0", "sampling_frequency", 3_000_000)
    control.write(PHY, "filter_fir_config", FIR)
    control.write(f"{PHY} INPUT out", "voltage_filter_fir_en", 1)
    control.write(f"{PHY} INPUT voltage0", "sampling_frequency", rate_hz)
    for oscillator in ("RX_LO", "TX_LO"):
        control.write(f"{PHY} OUTPUT {oscillator}", "frequency", 915_000_000)
    control.write(f"{PHY} INPUT voltage0", "gain_control_mode", "manual")
    control.write(f"{PHY} INPUT voltage0", "hardwaregain", 40)


class Streams:
    """Receives on ``receivers`` and sends noise on ``senders`` (URIs) from threads of this process, until stopped."""

    def __init__(self, receivers: list[str], senders: list[str], buffer_samples: int) -> None:
        self.received_samples = 0
        self._size = 4 * buffer_samples
        self._stopped = threading.Event()
        codes = np.random.default_rng(1).integers(-8000, 8000, (buffer_samples, 2)).astype("<i2")
        self._noise = codes.tobytes()
        self._threads = [threading.Thread(target=self._receive, args=(uri,)) for uri in receivers]
        self._threads += [threading.Thread(target=self._send, args=(uri,)) for uri in senders]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads, each after the buffer it is at."""
        self._stopped.set()
        self.join()

    def join(self) -> None:
        """Wait until all threads have ended: they do when the server does."""
        for thread in self._threads:
            thread.join()

    def _receive(self, uri: str) -> None:
        connection = Connection(uri)
        connection.ask(f"OPEN {ADC} {self._size // 4} 00000003")
        with contextlib.suppress(ConnectionError):
            while not self._stopped.is_set() and (size := connection.take(self._size)):
                self.received_samples += size // 4

    def _send(self, uri: str) -> None:
        connection = Connection(uri)
        connection.ask(f"OPEN {DAC} {self._size // 4} 00000003")
        with contextlib.suppress(ConnectionError):
            while not self._stopped.is_set() and connection.push(self._noise):
                pass
