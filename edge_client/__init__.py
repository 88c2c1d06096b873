"""One edge client: its side of the round (``round``), local training, SOFT, and its memory between rounds.

Imports ``learning``, ``radio`` and ``protocol``; never ``base_station``, never GNU Radio.
"""
