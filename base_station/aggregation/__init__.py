"""Aggregation of the clients' delivered changes into the next global adapter (docs/algorithms.md, section 3).

``interface`` holds what goes in and comes out, ``factorwise`` the means of factors (``separate``, ``freeze-a``),
``exact`` the best rank-r approximation of the mean of products. Pure functions on arrays; imports ``protocol`` only.
"""

from base_station.aggregation.exact import ExactAggregator
from base_station.aggregation.factorwise import FreezeAAggregator, SeparateAggregator
from base_station.aggregation.interface import Aggregate, Aggregator, Contribution

AGGREGATORS: dict[str, type[Aggregator]] = {
    "separate": SeparateAggregator,
    "freeze-a": FreezeAAggregator,
    "exact": ExactAggregator,
}
"""By their name in ``training.aggregation``."""

__all__ = ["AGGREGATORS", "Aggregate", "Aggregator", "Contribution"]
