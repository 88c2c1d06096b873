"""SOFT, the sparsified orthogonal update of an edge client, and the schemes it is compared with.

Pure functions on arrays. ``importance`` measures energies, ``compression`` lists the schemes (``whole_components``,
``single_values``, ``singular``), ``ranking`` is what each of them gives and draws the error curve, ``encoding`` fits a
prefix into a bit budget and keeps the rest as residual. Imports ``protocol`` only. docs/algorithms.md, sections 2, 6.
"""
