"""Whose key is it: libzmq's authentication requests (ZAP, ZeroMQ RFC 27) answered from a table of keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zmq
from zmq.utils import z85

ZAP_DOMAIN = b"airtune"
_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_LARGEST_REPORT = 64
"""At most so many different unknown keys are reported, whatever a stranger makes up."""


class KeyCheck:
    """Admits connections whose public key is known, and ties the client's name to each of their messages.

    ``allowed`` maps a client's name to its public key (Z85). ``on_unknown(text)`` is called once per unknown key.
    """

    def __init__(self, context: Any, allowed: Mapping[str, str], on_unknown: Callable[[str], None]) -> None:
        self._names = {public.encode(): name for name, public in allowed.items()}
        self._on_unknown = on_unknown
        self.refused: dict[str, int] = {}
        """Connections refused, by unknown public key."""
        self.socket = context.socket(zmq.REP)
        self.socket.bind(_ZAP_ENDPOINT)

    def protect(self, socket: Any) -> None:
        """Have ``socket`` (not yet bound) ask here; without an answer libzmq lets nobody in."""
        socket.zap_domain = ZAP_DOMAIN
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> None:
        """Answer one request that is waiting on ``socket``."""
        version, request, _domain, peer, _identity, mechanism, *credentials = self.socket.recv_multipart()
        public = z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        name = self._names.get(public)
        if name is None:
            self._count(public.decode(), peer.decode(errors="replace"))
            self.socket.send_multipart([version, request, b"400", b"unknown key", b"", b""])
        else:
            self.socket.send_multipart([version, request, b"200", b"", name.encode(), b""])

    def _count(self, public: str, peer: str) -> None:
        if public not in self.refused and len(self.refused) >= _LARGEST_REPORT:
            return
        if public not in self.refused:
            self._on_unknown(f"a connection from {peer} with an unknown key ({public[:8]}...) was refused")
        self.refused[public] = self.refused.get(public, 0) + 1
