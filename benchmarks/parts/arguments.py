"""Types of command-line arguments: a wrong one is told in argparse's one line, exit code 2, before anything runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Whole numbers from ``least`` to ``most``."""
    span = f"of {least} or more" if most is None else f"from {least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number {span}")
        return value

    return convert


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return value


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """One of ``names``: argparse's own choices refuse the default of a positional argument that may be left out."""

    def convert(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"'{text}' is not one of: {', '.join(names)}")
        return text

    return convert
