"""Radio drivers: implementations of ``radio.interface``, chosen by ``radio.driver``.

Importing or opening a driver never imports GNU Radio into the calling process. May import ``radio`` and
``protocol``; one contract suite (``tests/radio/test_radio_contract.py``) runs on every driver.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from protocol.configuration import HARDWARE_DRIVERS, Experiment
from radio.drivers.abstract_base_station import AbstractBaseStationRadio
from radio.drivers.abstract_client import AbstractClientRadio
from radio.drivers.desk_base_station import DeskBaseStationRadio
from radio.drivers.simulated_base_station import SimulatedBaseStationRadio
from radio.drivers.transmitting import TransmittingClient
from radio.interface import BaseStationRadio, ClientRadio


def open_base_station_radio(experiment: Experiment, iq_directory: Path | None = None) -> BaseStationRadio:
    """The base station's radio of ``experiment.radio.driver``; IQ it keeps goes to ``iq_directory``.

    Raises AddressInUseError, MissingPartError, ConfigurationError or RadioError if it cannot be had.
    """
    if experiment.radio.driver in HARDWARE_DRIVERS:
        return DeskBaseStationRadio(experiment, iq_directory)
    drivers: dict[str, Callable[[Experiment], BaseStationRadio]] = {
        "simulated": partial(SimulatedBaseStationRadio, iq_directory=iq_directory),
        "abstract": AbstractBaseStationRadio,
    }
    return drivers[experiment.radio.driver](experiment)


def open_client_radio(name: str, experiment: Experiment, radio_address: str) -> ClientRadio:
    """The radio of client ``name``; ``radio_address`` is what the base station's radio gave.

    Raises MissingPartError, ConfigurationError or RadioError if it cannot be had.
    """
    drivers: dict[str, Callable[[str, Experiment, str], ClientRadio]] = {
        "abstract": AbstractClientRadio,
    }
    return drivers.get(experiment.radio.driver, TransmittingClient)(name, experiment, radio_address)
