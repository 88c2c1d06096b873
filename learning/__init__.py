"""What both sides of the uplink know about learning: data, partition, model, evaluation.

May import ``protocol`` only. ``data`` and ``partition`` need no torch; ``model``, ``tokens`` and
``evaluation`` do.
"""
