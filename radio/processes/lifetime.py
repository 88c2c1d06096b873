"""Child's side of its own life: it starts with its parent's word and ends when the parent is gone."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable

from protocol.errors import AddressInUseError, AirtuneError, ConfigurationError, DataError, MissingPartError
from radio.processes.link import Link, LinkClosedError
from radio.processes.messages import Start, StartFailed, StartFailureCause

PEER_GONE_EXIT = 75
"""Exit status of a process that ended because another one went first (EX_TEMPFAIL)."""


def run_child(work: Callable[[Link, list[Link], Start], None]) -> None:
    """Life of a radio process: ``work(parent, peers, start)`` between the parent's Start and its end.

    Descriptors of the links come as arguments: the parent's first, then those of peers. ``work`` imports GNU Radio
    itself, so that a missing one is reported to the parent as such.
    """
    # Ctrl-C reaches the whole group; ending the children is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, *peers = [Link.from_descriptor(int(text)) for text in sys.argv[1:]]
    threading.Thread(target=end_with_parent, args=(parent.fileno(),), daemon=True).start()
    try:
        start, _ = parent.expect(Start)
        work(parent, peers, start)
    except LinkClosedError:
        sys.exit(PEER_GONE_EXIT)
    except ImportError as error:
        parent.send(StartFailed("missing", f"GNU Radio cannot be used ({error}); install it with: make setup"))


def start_failed(error: AirtuneError) -> StartFailed:
    """What a process says that cannot start because of ``error``."""
    causes: dict[type[AirtuneError], StartFailureCause] = {
        MissingPartError: "missing", AddressInUseError: "address-in-use", DataError: "data",
        ConfigurationError: "configuration",
    }  # fmt: skip
    return StartFailed(next((cause for kind, cause in causes.items() if isinstance(error, kind)), "other"), str(error))


def end_with_parent(descriptor: int) -> None:
    """Wait for the parent's end to close, however it ended, and end this process whatever it is doing.

    A death signal set by prctl would also fire when only the parent's thread ends that started this process.
    """
    watch = select.poll()
    watch.register(descriptor, select.POLLRDHUP)
    watch.poll()
    os._exit(PEER_GONE_EXIT)
