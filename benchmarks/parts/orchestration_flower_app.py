"""The app Flower runs in the orchestration benchmark: FedAvg over clients that add a constant. Needs flwr and NumPy.

One file for simulation and deployment; what is to be played and whom to tell comes in ``AIRTUNE_FLOWER_*`` variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.parts.orchestration_marks import Marks
from benchmarks.parts.orchestration_payloads import PAYLOADS, STEP

MOST_ROUNDS = 100_000
CLIENTS, PAYLOAD, MARKS = (f"AIRTUNE_FLOWER_{part}" for part in ("CLIENTS", "PAYLOAD", "MARKS"))
"""Names of the variables."""

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """The arrays plus a constant, as one client's result."""
    got = message.content["arrays"].to_numpy_ndarrays()
    content = {
        "arrays": ArrayRecord([array + STEP for array in got]),
        "metrics": MetricRecord({"num-examples": 100}),
    }
    return Message(content=RecordDict(content), reply_to=message)


class EnoughRoundsError(Exception):
    """No more rounds are wanted."""


class MarkedFedAvg(FedAvg):
    """Flower's own, which asks before every round and tells when its aggregate is there."""

    def __init__(self, marks: Marks, clients: int) -> None:
        super().__init__(
            fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=clients, min_evaluate_nodes=0,
            min_available_nodes=clients,
        )  # fmt: skip
        self._marks, self._clients = marks, clients

    def configure_train(self, server_round: int, *rest: Any) -> Iterable[Message]:
        """See ``FedAvg``."""
        if not self._marks.next_round():
            raise EnoughRoundsError
        return super().configure_train(server_round, *rest)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """See ``FedAvg``. Every client must have answered."""
        answers = list(replies)
        if len(answers) != self._clients or any(answer.has_error() for answer in answers):
            raise AssertionError(f"round {server_round}: {len(answers)} answers of {self._clients}, or errors")
        aggregate = super().aggregate_train(server_round, answers)
        self._marks.round_done()
        return aggregate


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Rounds for as long as they are wanted."""
    arrays = ArrayRecord(list(PAYLOADS[os.environ[PAYLOAD]].arrays().values()))
    with Marks(os.environ[MARKS]) as marks:
        strategy = MarkedFedAvg(marks, int(os.environ[CLIENTS]))
        try:
            strategy.start(grid=grid, initial_arrays=arrays, num_rounds=MOST_ROUNDS)
        except EnoughRoundsError:
            return
