"""What writing an attribute does to the values of a Pluto; and the radio's settings read out of them.

Functions on a dictionary of values by (device, file); a bad value raises IiodError with the errno of Linux' drivers.
"""

from __future__ import annotations

import errno
import math

from radio.virtual.attributes import ADC, DAC, PHY
from radio.virtual.clock_chain import Fir, clock_chain, parse_fir, slowest_rate_hz
from radio.virtual.protocol import IiodError
from radio.virtual.settings import RadioSettings, Tone

Values = dict[tuple[str, str], str]

_FIR_FILE = "filter_fir_config"
_TONE_FILES = tuple(f"out_altvoltage{i}_TX1_{name}" for i, name in enumerate(("I_F1", "I_F2", "Q_F1", "Q_F2")))
_GAIN_RANGES_DB = ((1.3e9, -1, 73), (4.0e9, -3, 71), (math.inf, -10, 62))
"""Highest carrier frequency, least and greatest gain of the AD9361's full gain table."""
_SHARED_ENUMERATIONS = {
    "in_voltage0_gain_control_mode": "in_voltage_gain_control_mode",
    "in_voltage0_rf_port_select": "in_voltage_rf_port_select",
    "out_voltage0_rf_port_select": "out_voltage_rf_port_select",
}
_SWITCH_ENDINGS = ("_en", "_powerdown", "_external")
_NUMBER_DIGITS = 32


def bad(text: str) -> IiodError:
    """The answer to a value that cannot be."""
    return IiodError(errno.EINVAL, text)


def number(text: str) -> float:
    """A finite decimal number, units after it ignored as drivers do. Raises IiodError EINVAL."""
    words = text.split()
    try:
        value = float(words[0]) if words and len(words[0]) <= _NUMBER_DIGITS else math.nan
    except ValueError:
        raise bad(text) from None
    if not math.isfinite(value):
        raise bad(text)
    return value


def switch(text: str) -> str:
    """``1`` or ``0`` for what Linux takes for a boolean. Raises IiodError EINVAL."""
    if text[:1] and text[0] in "1yYtT":
        return "1"
    if text[:1] and text[0] in "0nNfF":
        return "0"
    raise bad(text)


def check_available(values: Values, file: str, text: str) -> None:
    """Compare with the ``_available`` file of ``file``, if it has one. Raises IiodError EINVAL."""
    available = values.get((PHY, _SHARED_ENUMERATIONS.get(file, file) + "_available"))
    if available is None:
        return
    if available.startswith("["):
        low, _, high = available.strip("[]").split()
        if not float(low) <= number(text) <= float(high):
            raise bad(text)
    elif text not in available.split():
        raise bad(text)


def write_control(values: Values, device: str, file: str, text: str) -> None:
    """Any attribute without a rule of its own; ``debug/loopback`` is 0, 1 or 2."""
    if file.endswith(_SWITCH_ENDINGS):
        text = switch(text)
    elif file == "debug/loopback" and text not in ("0", "1", "2"):
        raise bad(text)
    elif file in ("xo_correction", "in_voltage_rf_bandwidth", "out_voltage_rf_bandwidth"):
        text = str(int(number(text)))
    values[device, file] = text


def write_lo_frequency(values: Values, file: str, text: str) -> None:
    """A carrier frequency; the receiver's moves the range of its gain. The powerdown of the LO stays as it is."""
    check_available(values, file, text)
    values[PHY, file] = str(int(number(text)))
    if "RX_LO" in file:
        low, high = _gain_range_db(float(values[PHY, file]))
        values[PHY, "in_voltage0_hardwaregain_available"] = f"[{low} 1 {high}]"
        gain_db = min(max(number(values[PHY, "in_voltage0_hardwaregain"]), low), high)
        values[PHY, "in_voltage0_hardwaregain"] = f"{gain_db:.6f} dB"


def write_gain_mode(values: Values, file: str, text: str) -> None:
    """How the receiver's gain is controlled."""
    check_available(values, file, text)
    values[PHY, file] = text


def write_receive_gain(values: Values, file: str, text: str) -> None:
    """The receiver's gain, whole dB; refused with EOPNOTSUPP while it is controlled automatically."""
    check_available(values, file, text)
    if values[PHY, "in_voltage0_gain_control_mode"] != "manual":
        raise IiodError(errno.EOPNOTSUPP, "the gain is set in manual mode only")
    values[PHY, file] = f"{math.floor(number(text)):.6f} dB"


def write_transmit_gain(values: Values, file: str, text: str) -> None:
    """The transmitter's gain, minus its attenuation, in steps of a quarter dB."""
    check_available(values, file, text)
    values[PHY, file] = f"{round(4.0 * number(text)) / 4.0 + 0.0:.6f} dB"


def write_rate(values: Values, file: str, text: str) -> None:
    """The sample rate of both converters: they share one clock."""
    values[PHY, "in_voltage_sampling_frequency"] = str(int(number(text)))
    apply_chain(values)


def write_governor(values: Values, file: str, text: str) -> None:
    """Which of the possible clocks the converters run at."""
    check_available(values, file, text)
    values[PHY, file] = text
    apply_chain(values)


def write_fir_enable(values: Values, file: str, text: str) -> None:
    """One or both FIR filters on or off; refused with EINVAL without a loaded filter, or if the clocks do not fit."""
    on = switch(text)
    if on == "1" and _fir(values).taps == 0:
        raise bad("no filter is loaded")
    for side in ("in", "out"):
        if file.startswith("in_out") or file.startswith(f"{side}_voltage_"):
            values[PHY, f"{side}_voltage_filter_fir_en"] = on
    apply_chain(values)


def write_fir_config(values: Values, file: str, text: str) -> None:
    """Load a filter pair. Raises IiodError EINVAL if it is not one, EBUSY while one is on."""
    fir = parse_fir(text)
    if fir is None:
        raise bad("not a filter")
    if _enabled(values, "in") or _enabled(values, "out"):
        raise IiodError(errno.EBUSY, "a filter is on")
    values[PHY, _FIR_FILE] = fir.text()


def write_stream_rate(values: Values, device: str, text: str) -> None:
    """The rate of a buffer: the converters' own, or an eighth by the FPGA's filter."""
    file = f"{'in' if device == ADC else 'out'}_voltage_sampling_frequency"
    for rate in values[device, f"{file}_available"].split():
        if abs(number(text) - float(rate)) <= 1.0:
            values[device, file] = rate
            return
    raise bad(text)


def write_tone(values: Values, file: str, text: str) -> None:
    """A setting of one DDS generator: frequency within half the rate, phase in milli-degrees, scale 0 to 1, on, off."""
    value = number(text)
    if file.endswith("_frequency"):
        if not 0.0 <= value <= 0.5 * number(values[DAC, "out_voltage_sampling_frequency"]):
            raise bad(text)
        text = str(int(value))
    elif file.endswith("_phase"):
        text = str(int(value) % 360_000)
    elif file.endswith("_scale"):
        if not 0.0 <= value <= 1.0:
            raise bad(text)
        text = f"{value:.6f}"
    elif file.endswith("_raw"):
        text = str(int(value != 0.0))
    values[DAC, file] = text


def apply_chain(values: Values) -> None:
    """Set everything that follows from rate and filters. Raises IiodError EINVAL if the chip cannot run like that."""
    rate = int(number(values[PHY, "in_voltage_sampling_frequency"]))
    fir = _fir(values)
    receive_fir = fir if _enabled(values, "in") else None
    transmit_fir = fir if _enabled(values, "out") else None
    chain = clock_chain(rate, values[PHY, "trx_rate_governor"], receive_fir, transmit_fir)
    if chain is None:
        raise bad(f"{rate} samples/s")
    both = receive_fir is not None and transmit_fir is not None
    values[PHY, "in_out_voltage_filter_fir_en"] = str(int(both))
    values[PHY, "rx_path_rates"], values[PHY, "tx_path_rates"] = chain.receive_text(), chain.transmit_text()
    slowest = slowest_rate_hz(receive_fir)
    for side in ("in", "out"):
        values[PHY, f"{side}_voltage_sampling_frequency"] = str(rate)
        values[PHY, f"{side}_voltage_sampling_frequency_available"] = f"[{slowest} 1 61440000]"
    for device, side in ((ADC, "in"), (DAC, "out")):
        file = f"{side}_voltage_sampling_frequency"
        whole, eighth = values[device, f"{file}_available"].split()
        divided = values[device, file] == eighth != whole
        values[device, f"{file}_available"] = f"{rate} {rate // 8} "
        values[device, file] = str(rate // 8 if divided else rate)
    values[DAC, "out_altvoltage_sampling_frequency"] = values[DAC, "out_voltage_sampling_frequency"]


def as_settings(values: Values) -> RadioSettings:
    """The radio's settings."""
    low, high = _gain_range_db(float(values[PHY, "out_altvoltage0_RX_LO_frequency"]))
    rate = float(values[PHY, "in_voltage_sampling_frequency"])
    return RadioSettings(
        sample_rate_hz=rate,
        receive_decimation=round(rate / float(values[ADC, "in_voltage_sampling_frequency"])),
        transmit_interpolation=round(rate / float(values[DAC, "out_voltage_sampling_frequency"])),
        receive_lo_hz=float(values[PHY, "out_altvoltage0_RX_LO_frequency"]),
        transmit_lo_hz=float(values[PHY, "out_altvoltage1_TX_LO_frequency"]),
        receive_lo_on=values[PHY, "out_altvoltage0_RX_LO_powerdown"] == "0",
        transmit_lo_on=values[PHY, "out_altvoltage1_TX_LO_powerdown"] == "0",
        running=values[PHY, "ensm_mode"] in ("fdd", "pinctrl_fdd_indep"),
        xo_correction_hz=int(values[PHY, "xo_correction"]),
        gain_mode=values[PHY, "in_voltage0_gain_control_mode"],
        manual_gain_db=int(number(values[PHY, "in_voltage0_hardwaregain"])),
        lowest_gain_db=low,
        highest_gain_db=high,
        transmit_gain_db=number(values[PHY, "out_voltage0_hardwaregain"]),
        tones=_tones(values),
        digital_loopback=values[PHY, "debug/loopback"] == "1",
        dc_tracking=values[PHY, "in_voltage_bb_dc_offset_tracking_en"] == "1",
        quadrature_tracking=values[PHY, "in_voltage_quadrature_tracking_en"] == "1",
    )


def _tones(values: Values) -> tuple[Tone, ...]:
    tones = []
    for index, file in enumerate(_TONE_FILES):
        scale = float(values[DAC, f"{file}_scale"])
        if values[DAC, f"{file}_raw"] == "1" and scale > 0.0:
            frequency_hz, phase_deg = float(values[DAC, f"{file}_frequency"]), float(values[DAC, f"{file}_phase"]) / 1e3
            tones.append(Tone(index >= 2, frequency_hz, phase_deg, scale))
    return tuple(tones)


def _fir(values: Values) -> Fir:
    """The loaded filter, out of ``FIR Rx: taps,decimation Tx: taps,interpolation``."""
    words = values[PHY, _FIR_FILE].split()
    taps, decimation = (int(part) for part in words[2].split(","))
    interpolation = int(words[4].split(",")[1])
    return Fir(taps, max(1, decimation), max(1, interpolation))


def _enabled(values: Values, side: str) -> bool:
    return values[PHY, f"{side}_voltage_filter_fir_en"] == "1"


def _gain_range_db(lo_hz: float) -> tuple[int, int]:
    return next((low, high) for highest_hz, low, high in _GAIN_RANGES_DB if lo_hz <= highest_hz)
