"""Names of the ways to train, compress and merge updates: what experiments, clients and base station agree on.

No array library is needed for them.
"""

from __future__ import annotations

from typing import Literal

Frozen = Literal["none", "a", "b"]
"""The factor that is neither trained nor sent in a round."""
Aggregation = Literal["separate", "freeze-a", "alternate", "exact-drop", "exact-fold"]
Compression = Literal["soft", "dense", "random-components", "magnitude-top-k", "factor-top-k", "svd"]
LayoutName = Literal["components", "values", "triplets"]
"""How an update file is laid out."""
LAYOUT_OF: dict[Compression, LayoutName] = {
    "soft": "components",
    "dense": "components",
    "random-components": "components",
    "magnitude-top-k": "values",
    "factor-top-k": "values",
    "svd": "triplets",
}
