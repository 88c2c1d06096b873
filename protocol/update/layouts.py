"""The layouts an update file may have, by name and by their number in its header."""

from __future__ import annotations

from protocol.adapters import Adapter
from protocol.schemes import Frozen, LayoutName
from protocol.update.components import Components
from protocol.update.records import ComponentLayout, Layout
from protocol.update.tiles import TileLayout
from protocol.update.triplets import TripletLayout

_LAYOUTS: tuple[type[Layout], ...] = (ComponentLayout, TileLayout, TripletLayout)
LAYOUT_NAMES: tuple[LayoutName, ...] = tuple(layout.name for layout in _LAYOUTS)
"""In the order of their numbers in the header."""


def make_layout(name: LayoutName, base: Adapter, quant_bits: int, frozen: Frozen = "none") -> Layout:
    """The layout ``name`` over the components of ``base``."""
    return _LAYOUTS[LAYOUT_NAMES.index(name)](Components(base, frozen), quant_bits)
