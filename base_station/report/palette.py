"""One look per client, the same in every figure, map and table of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito's colours, which colour-blind readers can tell apart; their yellow and black are left out because
# one vanishes on a light page and the other on a dark one.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8c6bb1", "#999933")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", "-.", ":")
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ClientStyle:
    """How a client is drawn. ``ink`` is the text colour that reads on ``colour``."""

    colour: str
    marker: str
    dash: str
    ink: str


def client_styles(names: Sequence[str]) -> dict[str, ClientStyle]:
    """Styles in the order of ``names``; colour alone tells up to eight clients apart, with dash and marker more."""
    colours = _COLOURS if len(names) <= len(_COLOURS) else _gradient(len(names))
    return {
        name: ClientStyle(
            colour=colours[i],
            marker=_MARKERS[i % len(_MARKERS)],
            dash=_DASHES[0] if len(names) <= len(_COLOURS) else _DASHES[i % len(_DASHES)],
            ink=ink_on(colours[i]),
        )
        for i, name in enumerate(names)
    }


def ink_on(colour: str) -> str:
    """Black or white, whichever reads on ``colour`` (``#rrggbb``)."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    luminance = sum(weight * channel for weight, channel in zip(_LUMINANCE, channels, strict=True))
    return "#000000" if luminance > 140 else "#ffffff"


def _gradient(count: int) -> tuple[str, ...]:
    """Colours of viridis without its darkest and lightest ends (they vanish on dark and light pages)."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return tuple(to_hex(colormaps["viridis"](0.15 + 0.75 * i / (count - 1))) for i in range(count))
