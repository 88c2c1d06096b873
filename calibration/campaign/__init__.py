"""Measurement campaigns: scheduled soundings between radios, their journal, estimates and replay (docs/campaign.md).

``plan`` is what shall be measured, ``run`` measures it through any driver of ``radio.interface``, ``journal`` keeps
every finished sounding, ``estimates`` and ``statistics`` say what the soundings tell, ``tables`` writes them as Parquet
and ``replay`` as a channel of the simulator. Imports ``radio`` and ``protocol`` only.
"""
