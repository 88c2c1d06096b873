"""One virtual Pluto: its attributes and its front end brought together, and the buffers that clients open."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable

import numpy as np

from radio.virtual.attributes import ADC, DAC
from radio.virtual.device import Identity, PlutoDevice
from radio.virtual.engine import Engine
from radio.virtual.faults import Faults
from radio.virtual.protocol import IiodError
from radio.virtual.reception import ReceiveStream, rssi_db
from radio.virtual.settings import RadioSettings
from radio.virtual.transmission import Samples, samples_of_codes

BUFFER_LIMIT = 1 << 22
"""Samples of one buffer; a real Pluto's memory for them ends sooner."""
DEFAULT_BUFFERS = 4
LARGEST_BUFFERS = 64
_QUEUE_LIMIT = 1 << 24
"""Stepped: samples that may wait for their time."""
_BUSY_PATIENCE_S = 0.05
"""How long an OPEN waits for the CLOSE of the buffer before it, which comes on another connection."""


class VirtualPluto:
    """One radio as the server sees it; also the sensors behind its attributes."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.front_end = engine.front_ends[name]
        self.faults = Faults()
        self._buffers = {ADC: DEFAULT_BUFFERS, DAC: DEFAULT_BUFFERS}
        self._transmitter: object | None = None
        self._transmitter_free = threading.Condition(engine.lock)
        table = self.front_end.table
        serial = table.serial or f"104400{hashlib.blake2b(name.encode(), digest_size=14).hexdigest()}"
        self.own_serial = serial
        identity = Identity(serial, table.firmware, table.chip, table.xo_correction_hz)
        self.device = PlutoDevice(identity, self, self._settings_changed)

    def power_up(self) -> None:
        """Everything as after switching on."""
        self._buffers = {ADC: DEFAULT_BUFFERS, DAC: DEFAULT_BUFFERS}
        self.device.power_up()

    def rssi_db(self) -> float:
        """Reading of the power meter, dB."""
        return rssi_db(self.engine.recent_power_mw(self.name), self.front_end.table.receive_full_scale_dbm)

    def receive_gain_db(self) -> float:
        """Gain in force: set, or where the control is (or, while nobody receives, would come to rest), dB."""
        with self.engine.lock:
            front_end = self.front_end
            if front_end.settings.gain_mode == "manual":
                return float(front_end.settings.manual_gain_db)
            if not front_end.streams:
                power_mw = self.engine.recent_power_mw(self.name)
                front_end.gain.settle(front_end.settings, front_end.table.receive_full_scale_dbm, power_mw)
            return front_end.gain.gain_db

    def temperature_c(self) -> float:
        """Of the transceiver, degrees Celsius."""
        return self.front_end.crystal.temperature_c(self.engine.time_s())

    def take_status(self, device: str) -> int:
        """Under- and overflow bits of a converter since the last call."""
        with self.engine.lock:
            return self.front_end.take_status(device, self.engine.time_s())

    def _settings_changed(self, settings: RadioSettings) -> None:
        with self.engine.lock:
            self.engine.catch_up()
            self.front_end.apply(settings, self.engine.time_s())

    def set_buffers_count(self, device: str, count: int) -> None:
        """Kernel buffers of the next opened buffer. Raises IiodError EINVAL, or EBUSY while one is open."""
        if device not in self._buffers or not 1 <= count <= LARGEST_BUFFERS:
            raise IiodError(errno.EINVAL, f"{count} buffers")
        with self.engine.lock:
            if self.front_end.streams if device == ADC else self._transmitter is not None:
                raise IiodError(errno.EBUSY, "a buffer is open")
            self._buffers[device] = count

    def open_receive(self, samples: int, channels: tuple[int, ...]) -> ReceiveStream:
        """Begin to receive into buffers of ``samples``."""
        unlimited = self.engine.stepped and not self.engine.on_demand
        stream = ReceiveStream(samples, channels, None if unlimited else self._buffers[ADC])
        self.engine.open_stream(self.name, stream)
        return stream

    def close_receive(self, stream: ReceiveStream) -> None:
        """Stop filling ``stream``."""
        self.engine.close_stream(self.name, stream)

    def open_transmit(self, samples: int, channels: tuple[int, ...], cyclic: bool) -> TransmitBuffer:
        """Take over the transmitter. Raises IiodError EBUSY while another buffer has it."""
        with self.engine.lock:
            if not self._transmitter_free.wait_for(lambda: self._transmitter is None, _BUSY_PATIENCE_S):
                raise IiodError(errno.EBUSY, "the transmitter has a buffer open")
            buffer = TransmitBuffer(self, samples, channels, cyclic, self._buffers[DAC])
            self._transmitter = buffer
            self.front_end.queue.open(self.front_end.transmit_clock.count(self.engine.time_s()))
            return buffer

    def close_transmit(self, buffer: TransmitBuffer) -> None:
        """Give the transmitter back; what has not left the antenna is dropped."""
        with self.engine.lock:
            if self._transmitter is buffer:
                self.front_end.queue.close(self.front_end.transmit_clock.count(self.engine.time_s()))
                self._transmitter = None
                self._transmitter_free.notify_all()


class TransmitBuffer:
    """An opened transmit buffer."""

    def __init__(
        self, radio: VirtualPluto, samples: int, channels: tuple[int, ...], cyclic: bool, buffers: int
    ) -> None:
        self.samples = samples
        self._radio = radio
        self._channels = channels
        self._cyclic = cyclic
        self._buffers = buffers

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return 2 * len(self._channels)

    def push(self, data: bytes, wait: Callable[[float], bool]) -> None:
        """Queue samples, then wait until there is room for the next buffer.

        ``wait`` sleeps for so many seconds; it gives True if the connection ends meanwhile.
        Raises IiodError ENOMEM where stepped time lets too much pile up.
        """
        samples = self._samples(data)
        engine, front_end = self._radio.engine, self._radio.front_end
        with engine.lock:
            queue, clock = front_end.queue, front_end.transmit_clock
            now = clock.count(engine.time_s())
            if self._cyclic:
                queue.push_cyclic(samples, now)
                return
            if engine.stepped:
                if (queue.queued_end or now) - now > _QUEUE_LIMIT:
                    raise IiodError(errno.ENOMEM, "advance the time first")
                queue.push(samples, now)
                return
            end = queue.push(samples, now)
            room_s = clock.time_s(end - self._buffers * self.samples) - engine.time_s()
        if room_s > 0.0:
            wait(room_s)

    def close(self) -> None:
        """Give the transmitter back."""
        self._radio.close_transmit(self)

    def _samples(self, data: bytes) -> Samples:
        codes = np.frombuffer(data, "<i2").reshape(-1, len(self._channels))
        if self._channels == (0, 1):
            return samples_of_codes(codes)
        both = np.zeros((len(codes), 2), np.int16)
        both[:, list(self._channels)] = codes
        return samples_of_codes(both)
