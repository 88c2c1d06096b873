"""Ground floor: configuration, control messages and their transport, the update format, keys, errors.

Everything may import ``protocol``; it imports no other package of airtune, no torch and no GNU Radio.
"""
