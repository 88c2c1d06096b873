"""Radios on a desk behind the ``Radio`` interface: their two ends, what is captured, where bursts are in it.

An end (``interface``) takes or gives samples; which one it is says ``radio.driver``. GNU Radio, libiio and pyadi-iio
are imported when an end is opened, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.configuration import Experiment, RadioDriver
from protocol.errors import ConfigurationError, MissingPartError
from radio.desk.interface import ReceiveEnd, TransmitEnd


def open_receive_end(experiment: Experiment) -> ReceiveEnd:
    """The base station's receiver. Raises MissingPartError, RadioError, and ConfigurationError without its uri."""
    if experiment.radio.uri is None:
        raise ConfigurationError("radio.uri: the base station's radio is not given")
    open_receiver, _ = _ends(experiment.radio.driver)
    return open_receiver(experiment, experiment.radio.uri)


def open_transmit_end(experiment: Experiment, name: str) -> TransmitEnd:
    """The transmitter of client ``name``. Raises as ``open_receive_end``."""
    uri = experiment.member(name).uri
    if uri is None:
        raise ConfigurationError(f"client '{name}': its radio's uri is not given")
    _, open_transmitter = _ends(experiment.radio.driver)
    return open_transmitter(experiment, uri)


def _ends(
    driver: RadioDriver,
) -> tuple[Callable[[Experiment, str], ReceiveEnd], Callable[[Experiment, str], TransmitEnd]]:
    """What opens a receiver and a transmitter at an address."""
    if driver == "pluto":
        from radio.desk.pluto import PlutoReceiver, PlutoTransmitter

        return PlutoReceiver, PlutoTransmitter
    if driver == "gr-iio":
        _check_gnuradio("iio", "gr-iio")
        from radio.desk.gr_iio import GrIioReceiver, GrIioTransmitter

        return GrIioReceiver, GrIioTransmitter
    _check_gnuradio(driver, f"gr-{driver}")
    from radio.desk.other_radios import open_other_receiver, open_other_transmitter

    return open_other_receiver, open_other_transmitter


def _check_gnuradio(module: str, part: str) -> None:
    """Raise MissingPartError if this machine's GNU Radio has no ``gnuradio.<module>``."""
    import importlib

    try:
        importlib.import_module(f"gnuradio.{module}")
    except ImportError as error:
        raise MissingPartError(
            f"{part} is missing from this machine's GNU Radio ({error}); run: apt-get install gnuradio"
        ) from error
