"""Measuring radios: estimators with stated uncertainties, calibration of Plutos, the doctor, measurement campaigns.

Estimators (``tones``, ``carrier``, ``noise``, ``levels``, ``gains``, ``pattern``, ``occupancy``) are functions of
sample arrays; ``bench`` and ``procedure`` calibrate, ``doctor`` checks, ``campaign`` measures channels. Imports
``radio`` and ``protocol`` only.
"""
