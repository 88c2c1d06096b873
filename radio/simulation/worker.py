"""Entry of a worker process: ``python -m radio.simulation.worker DESCRIPTOR``, started by ``Workers``."""

from __future__ import annotations

import signal
import sys
import threading

from protocol.errors import AirtuneError
from radio.processes.lifetime import PEER_GONE_EXIT, end_with_parent
from radio.processes.link import Link, LinkClosedError
from radio.simulation.workers import Batch, BatchDone, BatchFailed, simulate_batch


def main() -> None:
    """Answer batches until the parent is gone."""
    # Ctrl-C reaches the whole group; ending the workers is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = Link.from_descriptor(int(sys.argv[1]), Batch)
    threading.Thread(target=end_with_parent, args=(parent.fileno(),), daemon=True).start()
    try:
        while True:
            batch, _ = parent.expect(Batch)
            parent.send(_answer(batch))
    except LinkClosedError:
        sys.exit(PEER_GONE_EXIT)


def _answer(batch: Batch) -> BatchDone | BatchFailed:
    try:
        return BatchDone(simulate_batch(batch))
    except AirtuneError as error:
        return BatchFailed(type(error).__name__, str(error))


if __name__ == "__main__":
    main()
