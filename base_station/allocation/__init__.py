"""Who is granted which RBs and bits in a round: TSFA and what it is compared with (docs/algorithms.md, section 6).

``rules.allocate`` is the entry point; ``interface`` holds what a rule is and the check that every answer passes. Most
rules take part of the choice away from TSFA and leave its solver the rest: ``parts`` makes equal parts, ``goals``
looks for RBs by another goal, ``points`` fixes or finds what is sent in given RBs. Only ``base_station.tsfa``, numpy,
scipy and the protocol package are imported here.
"""
