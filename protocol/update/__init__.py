"""The update wire format, used by both sides of the uplink.

``components`` numbers the parts of an adapter that can be sent alone, ``quantisation`` turns their values into
codes, ``records`` and ``files`` lay them out, ``fragments`` cuts a file for the radio and decodes what arrived.
"""
