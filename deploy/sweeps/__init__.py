"""Sweeps: many runs from one description, the missing ones made in parallel, a killed sweep gone on with.

``sweep_file`` reads a description, ``planned`` says which runs it means and where they lie, ``local`` and ``on_ray``
make them.
"""
