"""The error tree and the exit codes: everything a user can be told went wrong.

A user sees one line, ``airtune: <message>``, that names what is wrong, where
(file, key, device, client) and what to do. Tracebacks appear with ``--debug`` only.
"""

from __future__ import annotations

from typing import ClassVar


class AirtuneError(Exception):
    """Base of every error with a known cause. ``exit_code`` is what the process ends with."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(AirtuneError):
    """The experiment file, an instance file or the command line is wrong."""

    exit_code = 2


class MissingPartError(AirtuneError):
    """Something the machine should have is missing (GNU Radio, a package, a device)."""

    exit_code = 3


class DataError(AirtuneError):
    """A model or a data table is missing or cannot be read."""

    exit_code = 4


class UpdateFileError(AirtuneError):
    """An update file is damaged, truncated, foreign, or belongs to another base."""

    exit_code = 5


class BudgetError(AirtuneError):
    """A bit budget is too small to hold the smallest valid answer."""

    exit_code = 6


class AddressInUseError(AirtuneError):
    """A socket address is taken by another process."""

    exit_code = 7


class StorageError(AirtuneError):
    """The disk is full, or a run directory cannot be written."""

    exit_code = 8


class AccessError(AirtuneError):
    """A key is unknown, a key file is too open, or a client name is already in use."""

    exit_code = 9


class PeerLostError(AirtuneError):
    """The base station or every client went away."""

    exit_code = 10


class RadioError(AirtuneError):
    """A radio, the ether or a radio process failed."""

    exit_code = 11


class RunError(AirtuneError):
    """A run directory is missing, damaged, already there, or of another experiment."""

    exit_code = 12


class ProtocolError(AirtuneError):
    """A peer's message was refused: too large, off the schema, or with absurd values."""

    exit_code = 13


class CheckWarnedError(AirtuneError):
    """The doctor found something that may go wrong."""

    exit_code = 14


class CheckFailedError(AirtuneError):
    """The doctor found something that will go wrong."""

    exit_code = 15


INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C or SIGTERM, once every child process has been ended."""
