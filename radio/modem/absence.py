"""What is reported of a burst that was not there."""

from __future__ import annotations

from protocol.bursts import Burst, BurstReport, DataBurst
from radio.modem.layout import burst_air_samples, burst_coded_bits
from radio.numerology import Numerology


def absent_report(burst: Burst, numerology: Numerology) -> BurstReport:
    """``burst`` as granted, not detected, every block lost. Raises ConfigurationError as ``burst_layout`` does."""
    return BurstReport(
        client=burst.client,
        burst_id=burst.burst_id,
        detected=False,
        blocks=[None] * len(burst.block_ids) if isinstance(burst, DataBurst) else [],
        air_samples=burst_air_samples(burst, numerology),
        coded_bits=burst_coded_bits(burst, numerology),
    )
