"""The device layer of an ADALM-Pluto: opened by URI, every write read back, limits kept, the transmitter silenced.

``Pluto`` (``radio.pluto.pluto``) is what drivers, calibration and doctor use; it is also of use on its own. libiio's
binding and pyadi-iio are optional (``pip install "airtune[pluto]"``) and loaded when a Pluto is opened. May import
``protocol``, ``radio.calibration_file`` and ``radio.processes.children``; no GNU Radio, no torch, no numba.
"""
