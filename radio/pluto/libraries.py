"""libiio's Python binding and pyadi-iio: optional, loaded when first needed, in the versions seen working together."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any, NamedTuple

from protocol.errors import MissingPartError

PINS = {"pylibiio": "0.25", "pyadi-iio": "0.0.21"}
"""What runs with libiio 0.2x; pylibiio 1.0, which pip would choose, wants another libiio."""
LIBIIO_MAJOR = 0
_REPAIR = 'run: pip install "airtune[pluto]"'


class Libraries(NamedTuple):
    """The modules ``iio`` and ``adi``."""

    iio: Any
    adi: Any


def load_libraries() -> Libraries:
    """Load both. Raises MissingPartError naming the version that is wanted and the command that brings it."""
    check_versions()
    return Libraries(_module("iio", "pylibiio"), _module("adi", "pyadi-iio"))


def load_libiio() -> Any:
    """The module ``iio`` alone, which is loaded faster. Raises MissingPartError."""
    check_versions(("pylibiio",))
    return _module("iio", "pylibiio")


def installed_versions() -> dict[str, str | None]:
    """Version of each package in ``PINS``, None where it is missing."""
    return {package: _version(package) for package in PINS}


def check_versions(packages: tuple[str, ...] = tuple(PINS)) -> None:
    """Raise MissingPartError if one of ``packages`` is missing or of another version than its pin."""
    found = installed_versions()
    for package in packages:
        if found[package] is None:
            raise MissingPartError(f"{package}=={PINS[package]} is missing, which a Pluto needs; {_REPAIR}")
        if found[package] != PINS[package]:
            raise MissingPartError(
                f"{package} {found[package]} is installed; a Pluto needs {package}=={PINS[package]}; {_REPAIR}"
            )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _module(name: str, package: str) -> Any:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise MissingPartError(f"{package}=={PINS[package]} does not load ({error}); {_REPAIR}") from error
    except OSError as error:  # the binding finds no libiio, or another one
        raise MissingPartError(f"{package} does not find libiio ({error}); run: apt-get install libiio0") from error
    if name == "iio" and module.version[0] != LIBIIO_MAJOR:
        raise MissingPartError(
            f"libiio {module.version[0]}.{module.version[1]} is installed; pylibiio=={PINS['pylibiio']} needs "
            "libiio 0.2x; run: apt-get install libiio0"
        )
    return module
