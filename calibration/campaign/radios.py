"""The radios of a campaign: one receives, the others transmit, through any driver of ``radio.interface``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from msgspec.structs import replace

from calibration.campaign.plan import SIMULATED, CampaignPlan, Link
from protocol.bursts import SoundingBurst, Window, WindowReport
from protocol.configuration import HARDWARE_DRIVERS, ClientTable, Experiment
from protocol.errors import RadioError
from radio.channel.draws import BASE_STATION
from radio.drivers import open_base_station_radio, open_client_radio
from radio.interface import BaseStationRadio, ClientRadio

Opened = Callable[[str, dict[str, str]], None]
"""Told of every receiver that was opened: its name, and which radio it is (empty for one simulated)."""
RADIO_TIMEOUT_S = 60.0
"""Wall-clock limit for a window to be decoded."""


def receiving_experiment(plan: CampaignPlan, receiver: str, time_s: float) -> Experiment:
    """The plan's experiment as ``receiver`` sees it at ``time_s``: it stands where the base station does.

    Everybody else is a client; in simulation at the distance of where they are, one fade an interval. On a desk the
    base station's radio and the receiver's change places.
    """
    experiment = plan.experiment
    members = [_member(plan, name, receiver, time_s) for name in plan.radios if name != receiver]
    radio = experiment.radio
    if receiver != BASE_STATION and radio.driver in HARDWARE_DRIVERS:
        radio = replace(radio, uri=experiment.member(receiver).uri)
    return replace(
        experiment, radio=radio,
        clients=replace(experiment.clients, members=members),
        channel=replace(experiment.channel, receiver=receiver),
        tsfa=replace(experiment.tsfa, latency_budget_s=plan.campaign.interval_s),
    )  # fmt: skip


def _member(plan: CampaignPlan, name: str, receiver: str, time_s: float) -> ClientTable:
    experiment = plan.experiment
    at_base = ClientTable(name=BASE_STATION, uri=experiment.radio.uri)
    member = at_base if name == BASE_STATION else experiment.member(name)
    distance_m = plan.distance_m(Link(name, receiver), time_s)
    if distance_m is None or experiment.radio.driver not in SIMULATED:
        return member
    if member.mean_snr_db is not None and receiver == BASE_STATION:
        return member
    # Nobody is nearer than what the log-distance law starts from.
    return replace(member, distance_m=max(distance_m, 1.0), mean_snr_db=None)


@dataclass
class OpenRadios:
    """One receiver and every transmitter it can hear; opened when first used."""

    experiment: Experiment
    iq_directory: Path | None
    opened: Opened

    def __post_init__(self) -> None:
        self._receiver: BaseStationRadio | None = None
        self._transmitters: dict[str, ClientRadio] = {}

    def hear(self, window: Window, burst: SoundingBurst | None) -> WindowReport:
        """One window, with ``burst`` or silent. Raises RadioError."""
        if self._receiver is None:
            self._receiver = open_base_station_radio(self.experiment, self.iq_directory)
            self.opened(self.experiment.channel.receiver, self._receiver.identity)
        receiver = self._receiver
        # Whoever transmits is opened before the window: that may take seconds.
        transmitter = None if burst is None else self._transmitter(burst.client, receiver.radio_address)
        receiver.arm(window, [] if burst is None else [burst])
        if transmitter is not None and burst is not None:
            transmitter.transmit(window, burst, [])
        return receiver.collect(RADIO_TIMEOUT_S)

    def _transmitter(self, name: str, address: str) -> ClientRadio:
        if name not in self._transmitters:
            self._transmitters[name] = open_client_radio(name, self.experiment, address)
        return self._transmitters[name]

    def close(self) -> None:
        """Every transmitter off, every process ended."""
        transmitters, self._transmitters = self._transmitters, {}
        for transmitter in transmitters.values():
            transmitter.close()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()


class CampaignRadios:
    """The radios of a plan; those of one receiver are open at a time. A context manager."""

    def __init__(self, plan: CampaignPlan, iq_directory: Path, opened: Opened = lambda name, identity: None) -> None:
        self._plan = plan
        self._opened = opened
        self._iq_directory = iq_directory
        self._open: OpenRadios | None = None

    def hear(self, receiver: str, time_s: float, window: Window, burst: SoundingBurst | None) -> WindowReport:
        """What ``receiver`` hears in ``window`` at ``time_s``. A radio that fails is opened anew, once.

        Raises RadioError if it fails again, and what opening it raises.
        """
        experiment = receiving_experiment(self._plan, receiver, time_s)
        if self._open is None or self._open.experiment != experiment:
            self.close()
            self._open = OpenRadios(experiment, self._iq_directory if experiment.radio.keeps_iq else None, self._opened)
        try:
            return self._open.hear(window, burst)
        except RadioError:
            self._open.close()
            return self._open.hear(window, burst)

    def close(self) -> None:
        """Close what is open; safe to call twice."""
        open_radios, self._open = self._open, None
        if open_radios is not None:
            open_radios.close()

    def __enter__(self) -> CampaignRadios:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
