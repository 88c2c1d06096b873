"""How a system under test and who measures it keep step: a line each way over a Unix socket. Standard library alone.

The system asks before every round and tells afterwards how long it took; between the two the meter has read its
counters. Being a file, the socket is reached from inside a network namespace too.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any


class Marks:
    """The system's end."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._began_s = 0.0

    def next_round(self) -> bool:
        """Wait until a round is wanted; False if no more are."""
        self._socket.sendall(b'{"mark": "ready"}\n')
        wanted = self._lines.readline().strip() == "round"
        self._began_s = time.monotonic()
        return wanted

    def round_done(self, parts_s: Mapping[str, float] | None = None) -> None:
        """Tell that the round is over, with what its parts took."""
        done = {"mark": "done", "round_s": time.monotonic() - self._began_s, "parts_s": dict(parts_s or {})}
        self._socket.sendall(json.dumps(done).encode() + b"\n")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Marks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def part_command(part: str, python: str = sys.executable) -> list[str]:
    """Command line that runs ``main`` of ``orchestration_PART``; the root of the project must be on the path."""
    return [python, "-c", f"from benchmarks.parts.orchestration_{part} import main; main()"]


def mark_of(line: str) -> dict[str, Any]:
    """What a system said; EOFError if it hung up."""
    if not line:
        raise EOFError("the system hung up")
    said: dict[str, Any] = json.loads(line)
    return said
