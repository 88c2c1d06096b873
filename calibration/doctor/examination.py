"""All checks in their order: the machine, each Pluto by itself, then together; and a scan of the band."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from calibration import bench
from calibration.doctor.behaviour import FIRST_CHECKS, LAST_CHECKS
from calibration.doctor.contact import URI_CHECK, Address, reach, unreachable
from calibration.doctor.findings import Check, Finding
from calibration.doctor.host import HOST_CHECKS, Host
from calibration.doctor.libraries import LIBRARY_CHECKS, Needs
from calibration.doctor.patient import Patient
from calibration.doctor.signals import SIGNAL_CHECKS
from calibration.doctor.together import TOGETHER_CHECKS, joined, twins
from calibration.occupancy import Occupancy, capture_centres, occupancy
from protocol.configuration import RadioTable
from protocol.errors import ConfigurationError, RadioError
from radio.pluto.pluto import Pluto
from radio.pluto.settings import LEAST_TRANSMIT_GAIN_DB, profile_limits

LONGEST_SCAN = 256
"""Captures of one scan."""
_SCAN_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Examination:
    """What is to be examined."""

    host: Host
    needs: Needs
    profile: RadioTable
    uris: Mapping[str, str]
    """Of radios by name, the base station's first."""
    calibrations: Path | None = None
    transmit: bool = True
    """Whether the checks that send something are made."""
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def findings(self) -> Iterator[Finding]:
        """One after the other, as they come."""
        yield from (check.examine("host", self.host) for check in HOST_CHECKS)
        yield from (check.examine("host", self.needs) for check in LIBRARY_CHECKS)
        with ExitStack() as stack:
            patients = []
            for name, uri in self.uris.items():
                address = Address(name, uri)
                yield URI_CHECK.examine(name, address)
                finding, pluto = reach(address, profile_limits(self.profile))
                yield finding
                if pluto is not None:
                    patients.append(self._patient(name, stack.enter_context(pluto)))
            yield from self._examine(patients)

    def _patient(self, name: str, pluto: Pluto) -> Patient:
        return Patient(name, pluto, self.profile, self.calibrations, self.clock, self.pause)

    def _examine(self, patients: list[Patient]) -> Iterator[Finding]:
        yield from twins(patients)
        ready = []
        for patient in patients:
            findings = list(self._alone(patient))
            yield from findings
            if patient.pluto.settings is not None and patient.pluto.connected:
                ready.append(patient)
        if self.transmit and ready and ready[0].name == next(iter(self.uris)):
            for client in ready[1:]:
                yield from joined(ready[0], client)
        for patient in patients:
            yield from _examine_with(LAST_CHECKS, patient)

    def _alone(self, patient: Patient) -> Iterator[Finding]:
        try:
            patient.take_temperature()
        except RadioError as error:
            yield unreachable(patient.name, error)
        yield from _examine_with(FIRST_CHECKS, patient)
        if patient.pluto.settings is None:
            yield from (check.skipped(patient.name, "its settings do not hold") for check in SIGNAL_CHECKS)
        elif not self.transmit:
            yield from (check.skipped(patient.name, "would send something") for check in SIGNAL_CHECKS)
        else:
            yield from _examine_with(SIGNAL_CHECKS, patient)


def scan(pluto: Pluto, profile: RadioTable, low_hz: float, high_hz: float) -> Occupancy:
    """Who is on a band, by one receiver. Raises RadioError, or ConfigurationError if it is too wide."""
    centres = capture_centres(low_hz, high_hz, profile.sample_rate_hz)
    if len(centres) > LONGEST_SCAN:
        widest_hz = LONGEST_SCAN * (centres[1] - centres[0])
        raise ConfigurationError(
            f"--scan: {(high_hz - low_hz) / 1e6:g} MHz are too much at {profile.sample_rate_hz / 1e6:g} Msps; "
            f"at most {widest_hz / 1e6:.0f} MHz"
        )
    low_gain_db, high_gain_db = bench.receive_gain_range(pluto)
    settings = Patient("", pluto, profile).settings
    captures = {}
    for centre_hz in centres:
        gain_db = min(max(profile.receive_gain_db, low_gain_db), high_gain_db)
        pluto.configure(
            replace(settings, carrier_hz=centre_hz, receive_gain_db=gain_db, transmit_gain_db=LEAST_TRANSMIT_GAIN_DB)
        )
        captures[centre_hz] = bench.receive(pluto, _SCAN_SAMPLES)
    return occupancy(captures, profile.sample_rate_hz)


def _examine_with(checks: tuple[Check[Patient], ...], patient: Patient) -> Iterator[Finding]:
    """Each check in turn, as long as there is a connection."""
    for check in checks:
        if patient.pluto.connected:
            yield check.examine(patient.name, patient)
        else:
            yield check.skipped(patient.name, "the connection was lost")


def check_names() -> list[str]:
    """Names of all checks; docs/doctor.md has a row for each."""
    host = [*(check.name for check in HOST_CHECKS), *(check.name for check in LIBRARY_CHECKS)]
    patient = [check.name for checks in (FIRST_CHECKS, SIGNAL_CHECKS, LAST_CHECKS) for check in checks]
    return [*host, URI_CHECK.name, "reachable", *(check.name for check in TOGETHER_CHECKS), *patient]
