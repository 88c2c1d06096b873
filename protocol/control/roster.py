"""Who of the known clients is here: one live instance per name.

Pure bookkeeping with time passed in, so that it can be tested without sockets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TAKEOVER_SILENCE_S = 5.0
"""A new instance replaces the old one of its name once that has been silent this long."""


SAY_HELLO = "say hello"
NAME_IN_USE = "name in use"
"""Reasons of refusals that a client answers by another Hello."""


@dataclass
class Presence:
    """The live instance of one client: its connection and when it was last heard."""

    instance: str
    routing_id: bytes
    heard_s: float


class Roster:
    """Live instances by client name; times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._present: dict[str, Presence] = {}

    def admit(self, name: str, instance: str, routing_id: bytes, now_s: float) -> str:
        """Take a Hello of ``name``: ``new`` (or reconnected), ``known`` (said it before) or ``in-use``."""
        old = self._present.get(name)
        if old is not None and old.instance != instance and now_s - old.heard_s < TAKEOVER_SILENCE_S:
            return "in-use"
        if old is not None and old.instance == instance and old.routing_id == routing_id:
            old.heard_s = now_s
            return "known"
        self._present[name] = Presence(instance, routing_id, now_s)
        return "new"

    def hear(self, name: str, routing_id: bytes, now_s: float) -> bool:
        """Note a message over ``routing_id``; False if that is not the live instance of ``name``."""
        presence = self._present.get(name)
        if presence is None or presence.routing_id != routing_id:
            return False
        presence.heard_s = now_s
        return True

    def routing_id(self, name: str) -> bytes | None:
        """Connection of the live instance, None if the client never said hello."""
        presence = self._present.get(name)
        return presence.routing_id if presence else None

    def silence_s(self, name: str, now_s: float) -> float:
        """Seconds since the live instance was heard; infinite if it never was."""
        presence = self._present.get(name)
        return now_s - presence.heard_s if presence else math.inf
