"""The base station: its side of the round (``round``), TSFA, aggregation, evaluation, run store, report.

Imports ``learning``, ``radio`` and ``protocol``; never ``edge_client``, never GNU Radio.
"""
