"""The update wire format, used by both sides of the uplink.

``components`` numbers the parts of an adapter that can be sent alone, ``quantisation`` turns their values into codes,
``records`` defines layouts (``tiles`` and ``triplets`` are two more, ``layouts`` lists them), ``files`` lays records
out, ``fragments`` cuts a file for the radio and decodes what arrived.
"""
