"""The doctor: checks of this machine and its Plutos, each with what was measured, why it matters and what mends it.

``findings`` is what a check says, ``host`` and ``libraries`` look at the machine, ``contact``, ``behaviour`` and
``signals`` at one Pluto, ``together`` at several; ``examination`` runs them all. Each trap is one that users of Plutos
reported.
"""
