"""Aggregation of the clients' delivered changes into the next global adapter (docs/algorithms.md, section 3).

``interface`` holds what goes in and comes out, ``factorwise`` the means of factors (``separate``, ``freeze-a``,
``alternate``), ``exact`` the best rank-r approximation of the mean of products. Pure functions on arrays; imports
``protocol`` only.
"""

from collections.abc import Callable
from functools import partial

from base_station.aggregation.exact import ExactAggregator
from base_station.aggregation.factorwise import AlternateAggregator, FreezeAAggregator, SeparateAggregator
from base_station.aggregation.interface import Aggregate, Aggregator, Contribution
from protocol.schemes import Aggregation as AggregationName

AGGREGATORS: dict[AggregationName, Callable[[], Aggregator]] = {
    "separate": SeparateAggregator,
    "freeze-a": FreezeAAggregator,
    "alternate": AlternateAggregator,
    "exact-drop": partial(ExactAggregator, fold=False),
    "exact-fold": partial(ExactAggregator, fold=True),
}
"""By their name in ``training.aggregation``."""

__all__ = ["AGGREGATORS", "Aggregate", "Aggregator", "Contribution"]
