"""Measuring radios: estimators with stated uncertainties, calibration of Plutos, the doctor.

Estimators (``quantity``, ``tones``, ``carrier``, ``noise``, ``levels``, ``gains``, ``pattern``, ``occupancy``) are
functions of sample arrays; what touches a radio comes after them. Imports ``radio`` and ``protocol`` only.
"""
