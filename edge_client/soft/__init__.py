"""SOFT, the sparsified orthogonal update of an edge client (docs/algorithms.md, section 2): pure functions on arrays.

``importance`` measures components, ``ranking`` orders them and draws the error curve, ``encoding`` fits a prefix
into a bit budget and keeps the rest as residual. Imports ``protocol`` only.
"""
