"""Clocks of the AD9363's receive and transmit paths: which sample rates it can make, and the FIR filters it takes.

Source: limits and dividers of the AD9361's data sheet and of Linux' ad9361 driver; the code is ours. The BBPLL is
shown, not modelled.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ADC_HZ = (25e6, 640e6)
"""Slowest and fastest clock of the receiving converter."""
LARGEST_RATE_HZ = 61_440_000
_ROUNDING_HZ = 48
"""What rounding the slowest rate down to whole hertz may cost: at most 12 times decimation 4."""
_BBPLL_HZ = (715e6, 1430e6)
_OVERSAMPLING = {"nominal": (8, 6, 4, 3, 2, 1, 12), "highest_osr": (12, 8, 6, 4, 3, 2, 1)}
"""Converter clock over the rate before the FIR, in the order in which they are tried."""
_HALF_BANDS = {12: (3, 2, 2), 8: (2, 2, 2), 6: (3, 2, 1), 4: (2, 2, 1), 3: (3, 1, 1), 2: (2, 1, 1), 1: (1, 1, 1)}
_TAPS_PER_CLOCK = 16
"""A FIR of the transmitter may have this many taps per clock of the DAC and sample."""
_FIR_HEADER = re.compile(r"(RX|TX)\s+[0-3]\s+GAIN\s+(-?\d+)\s+(?:DEC|INT)\s+([124])\s*")
_FIR_TAPS_LIMIT = 128


class Fir(NamedTuple):
    """A loaded filter pair; no taps: none was loaded."""

    taps: int = 0
    decimation: int = 1
    interpolation: int = 1

    def text(self) -> str:
        """As ``filter_fir_config`` reads."""
        return f"FIR Rx: {self.taps},{self.decimation if self.taps else 0} " + (
            f"Tx: {self.taps},{self.interpolation if self.taps else 0}"
        )


class ClockChain(NamedTuple):
    """Rates along both paths, Hz."""

    rate: int
    adc: int
    dac: int
    receive: tuple[int, int, int]
    """R2, R1, RF."""
    transmit: tuple[int, int, int]
    """T2, T1, TF."""

    def receive_text(self) -> str:
        """As ``rx_path_rates`` reads."""
        r2, r1, rf = self.receive
        return f"BBPLL:{_bbpll_hz(self.adc)} ADC:{self.adc} R2:{r2} R1:{r1} RF:{rf} RXSAMP:{self.rate}"

    def transmit_text(self) -> str:
        """As ``tx_path_rates`` reads."""
        t2, t1, tf = self.transmit
        return f"BBPLL:{_bbpll_hz(self.adc)} DAC:{self.dac} T2:{t2} T1:{t1} TF:{tf} TXSAMP:{self.rate}"


def clock_chain(rate_hz: int, governor: str, receive_fir: Fir | None, transmit_fir: Fir | None) -> ClockChain | None:
    """The clocks for a sample rate with these filters on (None: off); None if the chip cannot make it."""
    decimation = receive_fir.decimation if receive_fir else 1
    interpolation = transmit_fir.interpolation if transmit_fir else 1
    before_fir = rate_hz * decimation
    for factor in _OVERSAMPLING[governor]:
        adc = before_fir * factor
        if rate_hz <= LARGEST_RATE_HZ and ADC_HZ[0] - _ROUNDING_HZ <= adc <= ADC_HZ[1]:
            dac = adc // 2 if factor % 2 == 0 else adc
            chain = _chain(rate_hz, before_fir, factor, adc, dac, rate_hz * interpolation)
            fits = transmit_fir is None or transmit_fir.taps <= dac // rate_hz * _TAPS_PER_CLOCK
            return chain if fits else None
    return None


def _chain(rate: int, before_fir: int, factor: int, adc: int, dac: int, after_fir: int) -> ClockChain:
    third, second, first = _HALF_BANDS[factor]
    receive = (adc // third, adc // third // second, before_fir)
    transmit = (min(dac, after_fir * first * second), after_fir * first, after_fir)
    return ClockChain(rate, adc, dac, receive, transmit)


def slowest_rate_hz(receive_fir: Fir | None) -> int:
    """Least sample rate with a receive filter on (None: off), Hz."""
    return int(ADC_HZ[0] / 12 / (receive_fir.decimation if receive_fir else 1))


def parse_fir(text: str) -> Fir | None:
    """The filter of a written ``filter_fir_config``; None if it is not valid.

    Headers ``RX 3 GAIN -6 DEC 4`` and ``TX 3 GAIN 0 INT 4``, then a line ``receive tap, transmit tap`` for each tap.
    """
    factors: dict[str, int] = {}
    taps = 0
    for line in text.strip("\0\n \r").splitlines():
        if header := _FIR_HEADER.fullmatch(line):
            factors[header[1]] = int(header[3])
        elif _is_tap(line):
            taps += 1
        elif line.strip() and not line.startswith(("#", "RRX", "RTX", "BWRX", "BWTX")):
            return None
    if set(factors) != {"RX", "TX"} or not 0 < taps <= _FIR_TAPS_LIMIT or taps % 16:
        return None
    return Fir(taps, factors["RX"], factors["TX"])


def _is_tap(line: str) -> bool:
    parts = line.split(",")
    try:
        return len(parts) == 2 and all(-32768 <= int(part) <= 32767 for part in parts)
    except ValueError:
        return False


def _bbpll_hz(adc: int) -> int:
    """The multiple of the converter's clock, by a power of two, that the BBPLL can run at."""
    clock = adc
    while 0 < clock < _BBPLL_HZ[0]:
        clock *= 2
    return clock
