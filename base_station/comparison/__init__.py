"""Comparing runs: what each is measured by, means and paired differences over seeds, one table and its figures.

``measures`` reads runs, ``statistics`` has the intervals, ``table`` puts methods side by side; ``text``, ``figures``
and ``page`` show it.
"""
