"""Radios on a desk behind the ``Radio`` interface: their two ends, what is captured, where bursts are in it.

An end (``interface``) takes or gives samples; which one it is says ``radio.driver``. GNU Radio, libiio and pyadi-iio
are imported when an end is opened, in a process of its own.
"""

from __future__ import annotations

from protocol.configuration import Experiment
from protocol.errors import ConfigurationError, MissingPartError
from radio.desk.interface import ReceiveEnd, TransmitEnd


def open_receive_end(experiment: Experiment) -> ReceiveEnd:
    """The base station's receiver. Raises MissingPartError, RadioError, and ConfigurationError without its uri."""
    driver, uri = experiment.radio.driver, experiment.radio.uri
    if uri is None:
        raise ConfigurationError("radio.uri: the base station's radio is not given")
    if driver == "pluto":
        from radio.desk.pluto import PlutoReceiver

        return PlutoReceiver(experiment, uri)
    if driver == "gr-iio":
        _check_gnuradio("iio", "gr-iio")
        from radio.desk.gr_iio import GrIioReceiver

        return GrIioReceiver(experiment, uri)
    _check_gnuradio(driver, f"gr-{driver}")
    from radio.desk.other_radios import open_other_receiver

    return open_other_receiver(experiment, uri)


def open_transmit_end(experiment: Experiment, name: str) -> TransmitEnd:
    """The transmitter of client ``name``. Raises as ``open_receive_end``."""
    driver, uri = experiment.radio.driver, experiment.member(name).uri
    if uri is None:
        raise ConfigurationError(f"client '{name}': its radio's uri is not given")
    if driver == "pluto":
        from radio.desk.pluto import PlutoTransmitter

        return PlutoTransmitter(experiment, uri)
    if driver == "gr-iio":
        _check_gnuradio("iio", "gr-iio")
        from radio.desk.gr_iio import GrIioTransmitter

        return GrIioTransmitter(experiment, uri)
    _check_gnuradio(driver, f"gr-{driver}")
    from radio.desk.other_radios import open_other_transmitter

    return open_other_transmitter(experiment, uri)


def _check_gnuradio(module: str, part: str) -> None:
    """Raise MissingPartError if this machine's GNU Radio has no ``gnuradio.<module>``."""
    import importlib

    try:
        importlib.import_module(f"gnuradio.{module}")
    except ImportError as error:
        raise MissingPartError(
            f"{part} is missing from this machine's GNU Radio ({error}); run: apt-get install gnuradio"
        ) from error
