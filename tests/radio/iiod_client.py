"""A small client of the IIOD text protocol, in Python alone: what libiio sends, one connection."""

from __future__ import annotations

import re
import select
import socket

import numpy as np

ADC, DAC, PHY, XADC = "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc", "ad9361-phy", "xadc"
STATUS_REGISTER = "0x80000088"


class IiodClient:
    """One connection to a server at an ``ip:host[:port]`` URI; a context manager."""

    def __init__(self, uri, timeout_s=20.0):
        host, _, port = uri.removeprefix("ip:").partition(":")
        self._socket = socket.create_connection((host, int(port or 30431)), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data if isinstance(data, bytes) else data.encode() + b"\r\n")

    def line(self):
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the server ended the connection")
        return line[:-1].decode()

    def answered(self, within_s):
        """Whether anything comes within this time."""
        return bool(select.select([self._socket], [], [], within_s)[0])

    def number(self):
        return int(self.line())

    def ask(self, request):
        """A request that is answered with a number."""
        self.send(request)
        return self.number()

    def document(self, request):
        """A request that is answered with a length and as many bytes; a negative number is given as it is."""
        self.send(request)
        length = self.number()
        if length < 0:
            return length
        data = self._file.read(length)
        assert self._file.read(1) == b"\n"
        return data

    def read(self, place, attribute=""):
        """Text of an attribute, or a negative errno; ``place`` as in ``ad9361-phy INPUT voltage0``."""
        value = self.document(f"READ {place} {attribute}")
        return value if isinstance(value, int) else value.rstrip(b"\0").decode()

    def write(self, place, attribute, value):
        """Bytes written, or a negative errno."""
        data = str(value).encode() + b"\0"
        self.send(f"WRITE {place} {attribute} {len(data)}\r\n".encode() + data)
        return self.number()

    def set(self, place, attribute, value):
        written = self.write(place, attribute, value)
        assert written > 0, f"{place} {attribute} = {value}: {written}"

    def open(self, device, samples, mask="00000003", cyclic=False):
        assert self.ask(f"OPEN {device} {samples} {mask}{' CYCLIC' if cyclic else ''}") == 0

    def request_samples(self, samples, channels=2):
        self.send(f"READBUF {ADC} {2 * channels * samples}")

    def take_samples(self, channels=2):
        """Answer to a READBUF: int16 (samples, channels), or a negative errno."""
        size = self.number()
        if size <= 0:
            return size
        assert re.fullmatch("[0-9a-f]{8}", self.line())
        return np.frombuffer(self._file.read(size), "<i2").reshape(-1, channels)

    def receive_codes(self, samples):
        """int16 (samples, 2)."""
        self.request_samples(samples)
        return self.take_samples()

    def receive(self, samples):
        """Complex samples, full scale 1."""
        return as_complex(self.receive_codes(samples))

    def push(self, codes):
        """Send int16 (samples, 2); bytes taken, or a negative errno."""
        data = np.ascontiguousarray(codes, "<i2").tobytes()
        answer = self.ask(f"WRITEBUF {DAC} {len(data)}")
        if answer < 0:
            return answer
        self.send(data)
        return self.number()

    def status(self, device):
        """Under- and overflow bits of a converter; they are cleared."""
        self.set(f"{device} DEBUG", "direct_reg_access", STATUS_REGISTER)
        value = int(self.read(f"{device} DEBUG", "direct_reg_access"), 16)
        self.set(f"{device} DEBUG", "direct_reg_access", f"{STATUS_REGISTER} {value}")
        return value

    def configure(self, rate_hz=2_500_000, lo_hz=915_000_000, gain_db=30, tx_gain_db=-10.0):
        """The same rate, carrier and gains a test expects; the gain is set by hand."""
        self.set(f"{PHY} INPUT voltage0", "sampling_frequency", rate_hz)
        self.set(f"{PHY} OUTPUT RX_LO", "frequency", lo_hz)
        self.set(f"{PHY} OUTPUT TX_LO", "frequency", lo_hz)
        self.set(f"{PHY} INPUT voltage0", "gain_control_mode", "manual")
        self.set(f"{PHY} INPUT voltage0", "hardwaregain", gain_db)
        self.set(f"{PHY} OUTPUT voltage0", "hardwaregain", tx_gain_db)


def as_complex(codes, full_scale=2048.0):
    """int16 (samples, 2) to complex, full scale 1."""
    return (codes[:, 0] + 1j * codes[:, 1]) / full_scale


def tone_codes(cycles, samples, amplitude=0.5):
    """A tone of ``cycles`` in ``samples`` samples, as written to the transmitter: int16 (samples, 2)."""
    tone = amplitude * np.exp(2j * np.pi * cycles * np.arange(samples) / samples)
    return np.rint(32752 * np.stack([tone.real, tone.imag], axis=1)).astype(np.int16)


def peak(samples, rate_hz):
    """Frequency (Hz) and level (dB over full scale) of the strongest tone: parabola through a windowed spectrum."""
    window = np.hanning(len(samples))
    spectrum = np.abs(np.fft.fft(samples * window, 8 * len(samples))) / window.sum()
    best = int(np.argmax(spectrum))
    left, top, right = (20.0 * np.log10(spectrum[(best + i) % len(spectrum)]) for i in (-1, 0, 1))
    shift = 0.5 * (left - right) / (left - 2.0 * top + right)
    frequency = np.fft.fftfreq(len(spectrum), 1.0 / rate_hz)[best] + shift * rate_hz / len(spectrum)
    return frequency, top - 0.25 * (left - right) * shift
