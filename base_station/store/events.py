"""TensorBoard events of a run: the scalars of every committed round.

They are derived from the database, so a resumed run writes them anew and none is ever missing or double.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_station.store.files import storage_errors

if TYPE_CHECKING:
    from base_station.store.records import ClientRoundRecord, RoundRecord

_ROUND_SCALARS = (
    "accuracy", "worst_client_accuracy", "macro_f1", "loss", "airtime_s", "air_bits", "payload_bits", "latency_s",
    "barrier_s", "gap", "covariance_relative", "cosine_mean", "cosine_worst", "downlink_bits",
)  # fmt: skip
_CLIENT_SCALARS = (
    "loss", "gain_db", "reference_snr_db", "rb_count", "sparsity", "queue_s", "latency_s", "air_bits", "passes",
    "residual_energy", "accuracy",
)  # fmt: skip


class EventLog:
    """Event files under ``directory``, started afresh on construction."""

    def __init__(self, directory: Path) -> None:
        # tensorboardX costs a second to import: only a run that commits a round pays it.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._directory = directory
        self._event: Any = event_pb2.Event
        self._summary: Any = summary_pb2.Summary
        with storage_errors(directory):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            self._writer: Any = EventsWriter(str(directory / "events"))

    def add_round(self, record: RoundRecord, clients: Iterable[ClientRoundRecord], wall_time: float) -> None:
        """Write one round's scalars and flush them. Raises StorageError."""
        scalars = {f"round/{name}": getattr(record, name) for name in _ROUND_SCALARS}
        for client in clients:
            scalars |= {f"{name}/{client.client}": getattr(client, name) for name in _CLIENT_SCALARS}
        values = [
            self._summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
            if value is not None
        ]
        event = self._event(wall_time=wall_time, step=record.round_index, summary=self._summary(value=values))
        with storage_errors(self._directory):
            self._writer.write_event(event)
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        with storage_errors(self._directory):
            self._writer.close()
