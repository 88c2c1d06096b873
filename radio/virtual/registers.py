"""``direct_reg_access`` of the converters: the DMA status register, and plain memory for all others."""

from __future__ import annotations

import errno
from collections.abc import Callable

from radio.virtual.attributes import ADC, DAC
from radio.virtual.protocol import IiodError

STATUS_REGISTER = 0x80000088
"""Under- and overflow of a converter's DMA; writing a bit as 1 clears it."""
UNDERFLOW = 1
"""Bit of the transmitter's status."""
OVERFLOW = 4
"""Bit of the receiver's status."""
_LARGEST = 2**32 - 1
_KEPT_REGISTERS = 4096


class Registers:
    """Registers of all devices of one Pluto. ``take_status`` gives the bits that came up since it was last called."""

    def __init__(self, take_status: Callable[[str], int]) -> None:
        self._take_status = take_status
        self._values: dict[tuple[str, int], int] = {}
        self._selected: dict[str, int] = {}

    def write(self, device: str, text: str) -> None:
        """Select a register (``0x80000088``), or write one (``0x80000088 0x4``). Raises IiodError EINVAL."""
        try:
            numbers = [int(word, 0) for word in text.split()]
        except ValueError:
            raise IiodError(errno.EINVAL, text) from None
        if not 1 <= len(numbers) <= 2 or not all(0 <= number <= _LARGEST for number in numbers):
            raise IiodError(errno.EINVAL, text)
        self._selected[device] = numbers[0]
        if len(numbers) == 2:
            self._set(device, *numbers)

    def read(self, device: str) -> str:
        """The selected register of a device, hexadecimal."""
        self._update_status(device)
        return f"0x{self._values.get((device, self._selected.get(device, 0)), 0):X}"

    def _set(self, device: str, register: int, value: int) -> None:
        if register == STATUS_REGISTER and device in (ADC, DAC):
            self._update_status(device)
            value = self._values[device, register] & ~value
        elif (device, register) not in self._values and len(self._values) >= _KEPT_REGISTERS:
            raise IiodError(errno.ENOMEM, "too many registers written")
        self._values[device, register] = value

    def _update_status(self, device: str) -> None:
        if device in (ADC, DAC):
            key = device, STATUS_REGISTER
            self._values[key] = self._values.get(key, 0) | self._take_status(device)
