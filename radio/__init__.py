"""The uplink: modem, link layer, GNU Radio flowgraphs, channel models, the ether, drivers.

``interface`` is what base station and clients see of it. Imports ``protocol`` only, and never torch. GNU Radio is
imported by the processes in ``processes`` alone, so opening a radio does not load it into the caller.
"""
