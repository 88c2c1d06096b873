"""A connection to one Pluto that is thrown away at the first I/O error, and made anew on request.

A reply that comes after its question was given up would be taken for that of the next question: libiio 0.2x does not
tell them apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from protocol.errors import RadioError
from radio.pluto.attributes import ANSWERS, Attribute, cause_of, open_context, read_attribute, write_attribute
from radio.pluto.libraries import load_libraries
from radio.pluto.safety import transmitter_off, what_is_on

TIMEOUT_S = 5.0
RECONNECT_WAITS_S = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Before each try to find a Pluto again; one that restarts needs half a minute, until a later round."""


class Connection:
    """A context and pyadi-iio's object on it. Every method raises RadioError, one line with URI and cause."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        """Open ``uri`` and silence its transmitter. Raises MissingPartError without libiio or pyadi-iio."""
        self.uri = uri
        self.serial = ""
        self.notes: list[str] = []
        """What the user should know of how the Pluto was found."""
        self.on_loss: Callable[[], str] = str
        """Called when the connection was given up; what it says ends the error's sentence."""
        self._timeout_s = timeout_s
        self._sdr: Any = None
        self._open()

    @property
    def alive(self) -> bool:
        """Whether there is a connection."""
        return self._sdr is not None

    @property
    def sdr(self) -> Any:
        """pyadi-iio's object."""
        if self._sdr is None:
            raise RadioError(f"{self.uri}: there is no connection; reconnect, or open it anew")
        return self._sdr

    @property
    def context(self) -> Any:
        """The context of libiio."""
        return self.sdr.ctx

    def read(self, attribute: Attribute) -> str:
        """Value of an attribute, as text."""
        with self.io(f"reading {attribute}"):
            return read_attribute(self.context, attribute)

    def write(self, attribute: Attribute, value: float | str) -> None:
        """Write an attribute and read it back."""
        with self.io(f"writing {attribute}"):
            write_attribute(self.context, attribute, value, self.uri)

    def silence(self) -> None:
        """Transmitter off, read back."""
        with self.io("switching the transmitter off"):
            transmitter_off(self.context, self.uri)

    @contextmanager
    def io(self, doing: str) -> Iterator[None]:
        """Makes a RadioError of what goes wrong inside; but for a plain refusal, the connection is given up."""
        _ = self.sdr
        try:
            yield
        except OSError as error:
            if error.errno in ANSWERS:
                raise RadioError(f"{self.uri}: {doing}: {cause_of(error)}") from error
            self.throw_away()
            outcome = self.on_loss()
            raise RadioError(f"{self.uri}: {doing}: {cause_of(error)}; the connection was given up{outcome}") from error

    def throw_away(self) -> None:
        """Buffers first: destroyed after their context they take the process with them. Safe to call twice."""
        sdr, self._sdr = self._sdr, None
        if sdr is not None:
            sdr.rx_destroy_buffer()
            sdr._txbuf = None
            sdr._rxadc = sdr._txdac = sdr._ctrl = None
            sdr.close()

    def reconnect(self, waits_s: Sequence[float], sleep: Callable[[float], None] = time.sleep) -> None:
        """Find the same Pluto again, waiting before each try. RadioError with the last cause, or if another answers."""
        self.throw_away()
        serial = self.serial
        cause = RadioError(f"{self.uri}: was not tried")
        for wait_s in waits_s:
            sleep(wait_s)
            try:
                self._open()
            except RadioError as error:
                cause = error
                continue
            if self.serial == serial:
                return
            found, self.serial = self.serial, serial
            self.throw_away()
            raise RadioError(f"{self.uri}: Pluto {found} answers where Pluto {serial} was")
        raise RadioError(f"{cause}; tried {len(waits_s)} times")

    def _open(self) -> None:
        libraries = load_libraries()
        context = open_context(self.uri, self._timeout_s)
        try:
            on = what_is_on(context)
            transmitter_off(context, self.uri)
        except OSError as error:
            raise RadioError(f"{self.uri}: its transmitter cannot be switched off: {cause_of(error)}") from error
        if on:
            self.notes.append(f"{self.uri}: the transmitter was found on ({', '.join(on)}); it is off now")
        self._sdr = libraries.adi.Pluto(uri_ctx=context)
        self.serial = str(context.attrs.get("hw_serial", ""))
