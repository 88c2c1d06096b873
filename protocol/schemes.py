"""Names of the ways to train, compress, grant and merge updates: what experiments, clients and base station agree on.

No array library is needed for them.
"""

from __future__ import annotations

from typing import Literal

TaskName = Literal["text-classification", "image-classification", "language-modelling"]
SHIPPED_TASKS: dict[str, TaskName] = {"dinov2-small": "image-classification", "smollm2-135m": "language-modelling"}
"""What shipped models that do not classify texts are for, by ``[model] source``."""
IMAGE_DATA = ("fashion-mnist",)
"""``[data] source`` of images; all others are texts."""
LABEL_PARTITIONS = ("dirichlet", "shards")
"""Ways to deal samples that go by their labels."""
Frozen = Literal["none", "a", "b"]
"""The factor that is neither trained nor sent in a round."""
Aggregation = Literal["separate", "freeze-a", "alternate", "exact-drop", "exact-fold"]
Compression = Literal["soft", "dense", "random-components", "magnitude-top-k", "factor-top-k", "svd"]
AllocationRule = Literal[
    "tsfa", "tsfa-no-queue", "tsfa-common-sparsity", "equal-fixed", "equal-adaptive", "equal-finish", "maximum-rate",
    "proportional-fair", "best-k", "genie", "ideal",
]  # fmt: skip
FIXED_SHARE_RULES: tuple[AllocationRule, ...] = ("equal-fixed", "equal-finish")
"""Those under which everybody sends the same share of its update."""
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
