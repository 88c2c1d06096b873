"""What the base station folds into everybody's frozen weights, and who has which part of it already."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.adapters import adapter_to_bytes
from protocol.folding import Folded, change_to_bytes, grown, with_folded
from protocol.messages import FoldedWeights
from protocol.update.records import Products


class Folding:
    """The sum of all rounds' changes. A client that answered the last plan is sent the last change alone."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self._last: Products = {}
        self._holders: frozenset[str] = frozenset()

    def message(self, name: str) -> FoldedWeights:
        """What a client's next plan must carry."""
        if name in self._holders:
            return FoldedWeights(whole=False, data=change_to_bytes(self._last))
        whole = with_folded({}, self.folded)
        return FoldedWeights(whole=True, data=adapter_to_bytes(whole) if whole else b"")

    def forget(self, name: str) -> None:
        """A client started anew: it has nothing."""
        self._holders -= {name}

    def add(self, change: Products, holders: Iterable[str]) -> None:
        """A round's change; ``holders`` have everything that was sent before it."""
        self.folded = grown(self.folded, change)
        self._last, self._holders = change, frozenset(holders)
