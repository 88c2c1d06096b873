"""Checks of what is installed: libiio, its binding and pyadi-iio in versions that go together, GNU Radio."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from calibration.doctor.findings import Check, Seen
from protocol.errors import MissingPartError
from radio.pluto import libraries


@dataclass(frozen=True)
class Needs:
    """What the radios that shall be used need."""

    plutos: bool
    gr_iio: bool = False
    gnu_radio: bool = False


def look_at_versions(needs: Needs) -> Seen:
    """libiio, pylibiio, pyadi-iio."""
    found = {package: version or "missing" for package, version in libraries.installed_versions().items()}
    text = ", ".join(f"{package} {version}" for package, version in found.items())
    if not needs.plutos:
        return Seen("skip", f"{text}; no Pluto was named")
    try:
        iio = libraries.load_libraries().iio
    except MissingPartError as error:
        reason, _, mend = str(error).partition("; run: ")
        return Seen("fail", f"{text}: {reason}", mend=mend)
    return Seen("pass", f"libiio {iio.version[0]}.{iio.version[1]}, {text}")


def look_at_gnu_radio(needs: Needs) -> Seen:
    """GNU Radio, and its blocks for Plutos."""
    if not (needs.gnu_radio or needs.gr_iio):
        return Seen("skip", "not needed by this radio")
    spec = importlib.util.find_spec("gnuradio")
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or []]
    if not places:
        return Seen("fail", "GNU Radio is missing")
    if needs.gr_iio and not any((place / "iio").is_dir() for place in places):
        return Seen("fail", "GNU Radio has no blocks for Plutos (gr-iio)")
    return Seen("pass", f"GNU Radio at {places[0]}")


LIBRARY_CHECKS: tuple[Check[Needs], ...] = (
    Check(
        "versions", "pip's newest pylibiio (1.0) does not load with libiio 0.x; pyadi-iio then finds no device",
        'pip install "airtune[pluto]"', look_at_versions,
    ),
    Check("gnu-radio", "it carries every stream of samples", "make setup", look_at_gnu_radio),
)  # fmt: skip
