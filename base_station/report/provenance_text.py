"""Where a run comes from, in words: what was simulated, measured or assumed, and with which versions."""

from __future__ import annotations

from typing import Any

from base_station.report.run_data import RunData
from protocol.configuration import HARDWARE_DRIVERS, Experiment

_DRIVERS = {
    "simulated": "simulated: real IQ samples through GNU Radio and a simulated medium",
    "abstract": "abstract: no IQ; losses drawn from the link tables, nothing was modulated",
    "pluto": "ADALM-Plutos through pyadi-iio",
    "gr-iio": "ADALM-Plutos through GNU Radio's gr-iio",
    "uhd": "radios through UHD (never tried on hardware)",
    "soapy": "radios through SoapySDR (never tried on hardware)",
}
_LINKS = {"simulated": "a simulated radio link", "abstract": "an abstract radio link (no IQ)"}
_CHANNELS = {
    "awgn": "white noise, no fading",
    "rayleigh": "one flat Rayleigh fade per client and round",
    "rician": "one flat Rician fade per client and round",
    "replay": "replay of a measurement campaign, one sounding per client and round",
    "tdl-a": "TDL-A (TS 38.901), one realisation per client and round",
    "tdl-b": "TDL-B (TS 38.901), one realisation per client and round",
    "tdl-c": "TDL-C (TS 38.901), one realisation per client and round",
}


def subtitle(data: RunData) -> str:
    """One sentence that says what was run."""
    e = data.experiment
    clients = "1 edge client" if len(data.names) == 1 else f"{len(data.names)} edge clients"
    model = e.model.source if e.model.path is None else e.model.path
    source = e.data.source if e.data.path is None else e.data.path
    grants = "" if e.tsfa.allocation == "tsfa" else f" Grants by {e.tsfa.allocation}, not TSFA."
    return (
        f"{clients} fine-tuning {model} with LoRA of rank {e.model.lora_rank} on {source}, their updates sent over "
        f"{_LINKS.get(e.radio.driver, 'the radio link')} in {e.experiment.rounds} rounds.{grants}"
    )


def provenance_rows(data: RunData) -> list[tuple[str, str]]:
    """Label and text of every line of the provenance table."""
    manifest, e = data.manifest, data.experiment
    started, resumed = manifest.get("started", ""), manifest.get("resumed", [])
    rows = [
        ("Radio", _radio(e)),
        ("Channel", _CHANNELS.get(e.channel.model, e.channel.model) if e.radio.driver in _LINKS else ""),
        ("Downlink", f"{manifest.get('downlink', 'ip')} (the adapter reaches the clients by network, not by radio)"),
        ("Compute times", _device(manifest.get("device") or {})),
        ("Started", started + "".join(f"; resumed {when}" for when in resumed)),
        ("Finished", str(data.facts.get("finished", "not finished"))),
        ("Seed", str(manifest.get("seed", e.experiment.seed))),
        ("Texts", _plain(manifest.get("texts") or manifest.get("dataset") or {})),
        ("Partition", str(manifest.get("partition_sha256") or manifest.get("partition_hash") or "")),
        ("Commit", str(manifest.get("commit") or "not a git checkout")),
        ("Machine", _plain(manifest.get("machine") or {})),
        ("Versions", _plain(manifest.get("versions") or {})),
    ]  # fmt: skip
    return [(label, text) for label, text in rows if text]


def _radio(experiment: Experiment) -> str:
    """Driver; of radios on a desk also where they sent, and through what."""
    radio = experiment.radio
    driver = _DRIVERS.get(radio.driver, radio.driver)
    if radio.driver not in HARDWARE_DRIVERS:
        return driver
    medium = (
        f"on a cable with {radio.cable_attenuation_db:g} dB" if radio.connection == "cable"
        else f"over the air ({radio.licence})"
    )  # fmt: skip
    return f"{driver}, {radio.carrier_hz / 1e6:g} MHz, {medium}"


def _device(device: Any) -> str:
    """A device profile: its name, then whether it was measured or assumed."""
    if not isinstance(device, dict):
        return str(device)
    known = [str(device[key]) for key in ("name", "source") if device.get(key)]
    rest = {k: v for k, v in device.items() if k not in ("name", "source")}
    return "; ".join([*known, _plain(rest)] if rest else known)


def _plain(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in values.items() if v not in ("", None))
    if isinstance(values, float):
        return f"{values:.6g}"
    return str(values)
