"""An edge client process: one or several identities that join a base station and answer its messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edge_client.joining import check_same_experiment, reachable_radio_address, with_own_radio
from edge_client.memory import RoundMemory
from edge_client.round import ClientRound
from edge_client.trainer import LocalTrainer, SharedModel
from learning.device import DeviceProfile
from protocol.configuration import Experiment
from protocol.control import ClientControl
from protocol.errors import AirtuneError, RadioError
from protocol.experiment_file import experiment_from_dict
from protocol.keys import ClientKeys
from protocol.messages import (
    DataGo,
    Failed,
    Finish,
    GrantBits,
    Plan,
    SoundingGo,
    StationMessage,
    Welcome,
)
from radio.drivers import open_client_radio
from radio.interface import ClientRadio

_IDLE_S = 0.5
_LOG = logging.getLogger("airtune.client")


class ClientSession:
    """One identity: its control connection, its radio, and its side of the round once welcomed."""

    def __init__(self, name: str, control: ClientControl, state_dir: Path, model: SharedModel) -> None:
        self.name = name
        self.control = control
        self.finished = False
        self._state_dir = state_dir
        self._model = model
        self._radio: ClientRadio | None = None
        self._welcome: Welcome | None = None
        self._round: ClientRound | None = None
        self._round_index = 0

    def handle(self, message: StationMessage) -> None:
        """Answer one message. A round that cannot go on is reported, never half-answered."""
        if isinstance(message, Welcome):
            self._join(message)
        elif isinstance(message, Finish):
            _LOG.info("%s: finished: %s", self.name, message.reason)
            self.finished = True
        elif self._round is not None:
            try:
                self._answer(self._round, message)
            except AirtuneError as error:
                _LOG.warning("%s: round %d: %s", self.name, self._round_index, error)
                self.control.send(Failed(round_index=self._round_index, reason=str(error)[:500]))
                if isinstance(error, RadioError) and self._welcome is not None:
                    self._join(self._welcome)

    def close(self) -> None:
        """Radio off, connection closed."""
        if self._radio is not None:
            self._radio.close()
        self.control.close()

    def _answer(self, session_round: ClientRound, message: StationMessage) -> None:
        if isinstance(message, Plan):
            self._round_index = message.round_index
            _LOG.info("%s: round %d: training", self.name, message.round_index)
            self.control.set_stage("training", message.round_index)
            self.control.send(session_round.on_plan(message))
            self.control.set_stage("ready", message.round_index)
        elif isinstance(message, SoundingGo):
            self.control.set_stage("sounding", self._round_index)
            self.control.send(session_round.on_sounding(message))
        elif isinstance(message, GrantBits):
            self.control.set_stage("encoding" if message.budget_bits else "silent", self._round_index)
            encoded = session_round.on_grant(message)
            if encoded is not None:
                _LOG.info("%s: round %d: sending %d bits", self.name, self._round_index, encoded.payload_bits)
                self.control.send(encoded)
        elif isinstance(message, DataGo):
            self.control.set_stage("on the air", self._round_index)
            self.control.send(session_round.on_data(message))

    def _join(self, welcome: Welcome) -> None:
        """Start afresh with a radio of its own: the base station is new, or the radio failed."""
        experiment = experiment_from_dict(msgspec.json.decode(welcome.experiment_json), "the base station's experiment")
        check_same_experiment(self._model.experiment, experiment)
        experiment = with_own_radio(self.name, self._model.experiment, experiment)
        device = msgspec.json.decode(welcome.device_json, type=DeviceProfile)
        if self._radio is not None:
            self._radio.close()
        radio_address = reachable_radio_address(welcome.radio_address, self.control.address)
        self._radio = open_client_radio(self.name, experiment, radio_address)
        self._welcome = welcome
        _LOG.info("%s: joined the base station at %s", self.name, self.control.address)
        self._round = ClientRound(
            self.name, experiment, welcome.run_id, welcome.fragment_key,
            LocalTrainer(self.name, experiment, device, self._model),
            RoundMemory(self._state_dir / self.name), self._radio,
        )  # fmt: skip


def run_client(
    experiment: Experiment, names: Sequence[str], keys: Mapping[str, ClientKeys], station_address: str, state_dir: Path
) -> None:
    """Run the identities ``names`` until the base station finishes the run.

    Raises AccessError if an identity is refused, ConfigurationError if the base station runs another experiment,
    PeerLostError if no base station is heard for the experiment's ``join_timeout_s``, RadioError and DataError as
    they come.
    """
    model = SharedModel(experiment)
    sessions: list[ClientSession] = []
    arrived = threading.Event()
    try:
        for name in names:
            control = ClientControl(
                station_address, name, keys[name], experiment.clients.join_timeout_s, arrived=arrived
            )  # fmt: skip
            sessions.append(ClientSession(name, control, state_dir, model))
        _serve(sessions, arrived)
    finally:
        for session in sessions:
            session.close()


def _serve(sessions: Sequence[ClientSession], arrived: threading.Event) -> None:
    """Answer whoever was written to; ``arrived`` is set when there is something for any of them."""
    while any(not s.finished for s in sessions):
        arrived.wait(_IDLE_S)
        arrived.clear()
        for session in sessions:
            while not session.finished and (message := session.control.receive(0.0)) is not None:
                session.handle(message)
