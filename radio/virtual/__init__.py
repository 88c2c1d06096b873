"""Virtual Plutos: servers that speak the IIOD network protocol, joined by a simulated medium.

Of use on its own to anyone who tests code for an ADALM-Pluto (docs/virtual-pluto.md). From the inside out:
``protocol`` (bytes to requests), ``device`` (attributes), ``transmission`` and ``reception`` (converters), ``medium``
(paths between radios), ``engine`` (time), ``server`` and ``control`` (sockets), ``testbed`` (all of it in one
process).
Needs numpy, scipy, pyzmq and msgspec only; may import ``protocol`` and ``radio.channel``.
"""
