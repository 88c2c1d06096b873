"""What the arguments of ``airtune link simulate`` ask for, as scenario and points."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from msgspec.structs import replace

from protocol.errors import ConfigurationError
from radio.channel.fading import FLAT_MODELS
from radio.modem.mcs import McsTable
from radio.simulation.scenario import AUTO, Point, Scenario, check

MAX_POINTS = 10_000
_EXPECTED = "must be FROM:TO, FROM:TO:STEP or a list of numbers, as in 0:30:2 or 3,4.5,6"


def request(args: argparse.Namespace) -> tuple[Scenario, list[Point]]:
    """Scenario and points, checked. Raises ConfigurationError."""
    points, scenario = _points(args), _scenario(args)
    check(scenario, points)
    if args.codec is not None:
        for name in dict.fromkeys(point.mcs for point in points if point.mcs != AUTO):
            codec = McsTable.load()[name].codec
            if codec != args.codec:
                raise ConfigurationError(f"--codec {args.codec}: '{name}' of --mcs is a scheme of {codec}")
    return scenario, points


def _scenario(args: argparse.Namespace) -> Scenario:
    scenario = Scenario(
        seed=args.seed,
        rb_count=args.rb,
        payload_bits=args.payload_bits,
        channel=args.channel,
        neighbours=args.neighbours,
        neighbour_db=args.neighbour_db,
        impairments=args.impairments,
    )
    if args.codec is not None:
        scenario = replace(scenario, codec=args.codec)
    if args.delay_spread_ns is not None:
        if args.channel in FLAT_MODELS:
            raise ConfigurationError(f"--delay-spread-ns: --channel {args.channel} has no delay spread; tdl-a|b|c have")
        scenario = replace(scenario, delay_spread_s=1e-9 * args.delay_spread_ns)
    return scenario


def _points(args: argparse.Namespace) -> list[Point]:
    snrs_db = snr_range(args.snr_db)
    schemes = [name.strip() for name in args.mcs.split(",")]
    if "" in schemes:
        raise ConfigurationError(f"--mcs {args.mcs}: a name is empty; names stand between single commas")
    _refuse_doubles(f"--mcs {args.mcs}", schemes)
    if len(snrs_db) * len(schemes) > MAX_POINTS:
        raise ConfigurationError(f"--snr-db {args.snr_db}: more than {MAX_POINTS} points")
    return [Point(snr_db, mcs) for mcs in schemes for snr_db in snrs_db]


def snr_range(text: str) -> list[float]:
    """``0:30:2`` (both ends), ``0:30`` (1 dB steps) or ``3,4.5,6`` as numbers. Raises ConfigurationError."""
    option = f"--snr-db {text}"
    numbers = _numbers(text.split(":" if ":" in text else ","), option)
    if ":" in text:
        numbers = _spread(numbers, option)
    _refuse_doubles(option, [f"{number:g} dB" for number in numbers])
    return numbers


def _numbers(parts: Sequence[str], option: str) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ConfigurationError(f"{option}: {_EXPECTED}") from None
    if not all(map(math.isfinite, numbers)):
        raise ConfigurationError(f"{option}: not a finite number; it {_EXPECTED}")
    return numbers


def _spread(ends_and_step: list[float], option: str) -> list[float]:
    """From the first to the second number, by the third or 1."""
    if not 2 <= len(ends_and_step) <= 3:
        raise ConfigurationError(f"{option}: {_EXPECTED}")
    first, last, step = (*ends_and_step, 1.0)[:3]
    if step <= 0.0:
        raise ConfigurationError(f"{option}: the step must be above 0")
    if last < first:
        raise ConfigurationError(f"{option}: runs downwards; FROM must not be above TO")
    steps = (last - first) / step + 1e-9
    if steps >= MAX_POINTS:
        raise ConfigurationError(f"{option}: more than {MAX_POINTS} points")
    return [round(first + index * step, 6) for index in range(math.floor(steps) + 1)]


def _refuse_doubles(option: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"{option}: {name} stands there twice")
