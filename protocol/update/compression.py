"""Names of the compression schemes, and the layout of the update files each writes."""

from __future__ import annotations

from typing import Literal

from protocol.update.records import LayoutName

Compression = Literal["soft", "dense", "random-components", "magnitude-top-k", "factor-top-k", "svd"]
LAYOUT_OF: dict[Compression, LayoutName] = {
    "soft": "components",
    "dense": "components",
    "random-components": "components",
    "magnitude-top-k": "values",
    "factor-top-k": "values",
    "svd": "triplets",
}
