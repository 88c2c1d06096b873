"""The simulated medium: levels, keyed draws, fading, impairments, resampling and the sum of all transmitters.

Pure functions on numpy arrays; nothing here knows sockets, processes or GNU Radio. May import ``protocol`` and
``radio.numerology`` only.
"""
