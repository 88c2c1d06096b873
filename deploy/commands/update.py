"""``airtune update encode | decode | info``: SOFT updates as files, without radio or torch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from base_station.aggregation import AGGREGATORS, Contribution
from edge_client.soft.compression import COMPRESSORS, rank
from edge_client.soft.encoding import EncodedUpdate, encode, local_update
from edge_client.soft.importance import head_scale, update_energies
from edge_client.soft.ranking import Change, CurvePoint, Ranking, error_curve
from protocol.adapters import Adapter, adapter_to_bytes, add, lora_modules, read_adapter, shape_mismatch
from protocol.errors import BudgetError, ConfigurationError, DataError, UpdateFileError
from protocol.files import write_atomically
from protocol.random_streams import random_stream
from protocol.schemes import Frozen
from protocol.update.components import Components
from protocol.update.files import (
    ENTRY_BYTES,
    EnergyTable,
    decode_file,
    header_bytes,
    read_table,
)
from protocol.update.quantisation import QUANT_BITS

CURVE_POINTS = 64
_EXAMPLE = """example:
  airtune update encode --base G.safetensors --trained T.safetensors --budget-bits 200000 --quant-bits 8 --out U
  airtune update info U --json
  airtune update decode U --base G.safetensors --out R.safetensors
"""
_ALPHA_KEYS = ("lora_alpha", "alpha")


def add_parser(subparsers: Any) -> None:
    """Add ``update`` and its three actions to the command line."""
    parser = subparsers.add_parser(
        "update",
        help="encode, decode or describe a SOFT update file",
        description="Encode the change between two adapters under a bit budget, decode it, or say what it holds.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for add_action in (_add_encode, _add_decode, _add_info):
        add_action(actions)


def run(args: argparse.Namespace) -> int:
    """Do what ``args.action`` says; 0 when done. Raises AirtuneError."""
    actions = {"encode": _encode, "decode": _decode, "info": _info}
    actions[args.action](args)
    return 0


def _add_encode(actions: Any) -> None:
    parser = actions.add_parser(
        "encode", help="write an update", epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="adapter that training started from")
    parser.add_argument("--trained", type=Path, required=True, help="adapter after training")
    parser.add_argument("--budget-bits", type=int, required=True, help="the file has at most this many bits")
    parser.add_argument("--quant-bits", type=int, choices=QUANT_BITS, default=8, help="bits of a value (default 8)")
    parser.add_argument("--out", type=Path, required=True, help="update file to write")
    parser.add_argument("--alpha", type=float, help="LoRA alpha (default: from the files' metadata, else the rank)")
    parser.add_argument(
        "--importance",
        choices=("update-energy", "product-norm"),
        default="update-energy",
        help="what components are ranked by, per bit (default update-energy)",
    )
    parser.add_argument(
        "--compression", choices=tuple(COMPRESSORS), default="soft", help="what is sent under the budget (default soft)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the stochastic rounding (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_decode(actions: Any) -> None:
    parser = actions.add_parser(
        "decode", help="apply an update", epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("update", type=Path, help="update file")
    parser.add_argument("--base", type=Path, required=True, help="the adapter it was encoded with")
    parser.add_argument("--out", type=Path, required=True, help="adapter to write: base plus update, float32")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_info(actions: Any) -> None:
    parser = actions.add_parser(
        "info", help="describe an update", epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("update", type=Path, help="update file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _encode(args: argparse.Namespace) -> None:
    minimum_bits = 8 * header_bytes(annotated=True)
    if args.budget_bits < minimum_bits:
        raise BudgetError(
            f"--budget-bits {args.budget_bits}: an update file has at least {minimum_bits} bits (its header)"
        )
    ranking = _ranking(args)
    update = encode(ranking, args.budget_bits, random_stream(args.seed, "update-rounding"))
    write_atomically(args.out, update.file)
    _print(_encoded(args, ranking, update), args.json)


def _ranking(args: argparse.Namespace) -> Ranking:
    base, base_metadata = read_adapter(args.base)
    trained, metadata = read_adapter(args.trained)
    Components(base, origin=str(args.base))
    problem = shape_mismatch(base, trained)
    if problem:
        raise DataError(f"{args.trained}: does not fit {args.base}: {problem}")
    delta = local_update(base, trained)
    scaling = _scaling(base, args.alpha, {**base_metadata, **metadata}, str(args.trained))
    energies = update_energies(base, delta, scaling)
    change = Change(
        base,
        delta,
        scaling=scaling,
        kappa=head_scale(energies.lora, energies.head),
        quant_bits=args.quant_bits,
        frozen=_frozen(delta),
        annotated=True,
        importance=args.importance,
        order_seed=args.seed,
    )
    return rank(args.compression, change)


def _frozen(delta: Adapter) -> Frozen:
    """The factor that did not change in any module."""
    modules = lora_modules(delta)
    if not any(np.any(delta[module.a_name]) for module in modules):
        return "a"
    return "none" if any(np.any(delta[module.b_name]) for module in modules) else "b"


def _scaling(base: Adapter, option: float | None, metadata: Mapping[str, str], origin: str) -> dict[str, float]:
    """Alpha / r per module; alpha from the option, else the metadata, else r."""
    alpha = option
    for key in _ALPHA_KEYS:
        if alpha is None and key in metadata:
            try:
                alpha = float(metadata[key])
            except ValueError as error:
                raise DataError(f"{origin}: metadata {key} = '{metadata[key]}' is not a number") from error
    if alpha is not None and not 0.0 < alpha < 1e6:
        raise ConfigurationError(f"alpha = {alpha:g}: must be positive and below 1e6; set --alpha")
    return {m.name: 1.0 if alpha is None else alpha / m.rank for m in lora_modules(base)}


def _encoded(args: argparse.Namespace, ranking: Ranking, update: EncodedUpdate) -> dict[str, Any]:
    return {
        "out": str(args.out),
        "bits": update.payload_bits,
        "components": update.components_sent,
        "components_total": update.components_total,
        "total_energy": ranking.total_energy,
        "kept_energy": ranking.total_energy - update.unsent_energy,
        "curve": error_curve(ranking, CURVE_POINTS),
    }


def _decode(args: argparse.Namespace) -> None:
    base, metadata = read_adapter(args.base)
    Components(base, origin=str(args.base))
    try:
        decoded = decode_file(_read(args.update), base)
    except UpdateFileError as error:
        raise UpdateFileError(f"{args.update}: {error}") from error
    adapter, dropped = add(base, decoded.delta), 0.0
    if decoded.products:  # singular triplets: the nearest factors of the base's rank
        update = Contribution("update", 1.0, decoded.delta, products=decoded.products)
        scaling = _scaling(base, None, metadata, str(args.base))
        aggregate = AGGREGATORS["exact-drop"]().aggregate(base, [update], scaling)
        adapter, dropped = aggregate.adapter, aggregate.dropped_energy
    write_atomically(args.out, adapter_to_bytes(adapter, metadata))
    said = {"out": str(args.out), "components": len(decoded.components), "dropped_energy": dropped}
    _print(said, args.json)


def _info(args: argparse.Namespace) -> None:
    data = _read(args.update)
    try:
        header, table = read_table(data)
    except UpdateFileError as error:
        raise UpdateFileError(f"{args.update}: {error}") from error
    curve = sent_curve(table)
    _print(
        {
            "bits": 8 * len(data),
            "components": header.records,
            "components_total": table.components_total,
            "layout": header.layout,
            "quant_bits": header.quant_bits,
            "base": header.base_digest.hex(),
            "total_energy": table.total_energy,
            "kept_energy": table.total_energy - curve[-1][1],
            "curve": curve,
        },
        args.json,
    )


def sent_curve(table: EnergyTable) -> list[CurvePoint]:
    """The error curve as far as the file goes; its last point is the file itself."""
    unsent = np.append(table.total_energy, table.total_energy - np.cumsum(table.energies))
    unsent = np.maximum(np.minimum.accumulate(unsent), 0.0)
    bits = 8 * (header_bytes(annotated=True) + np.append(0, np.cumsum(table.sizes + ENTRY_BYTES)))
    bits[0] = 0
    keep = np.unique(np.linspace(0, len(bits) - 1, CURVE_POINTS).round().astype(np.int64))
    return [(int(bits[j]), float(unsent[j])) for j in keep]


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(values, allow_nan=False))
        return
    for key, value in values.items():
        if key == "curve":
            print("bits        energy that stays unsent")
            print("\n".join(f"{bits:<11d} {energy:.6g}" for bits, energy in value))
        else:
            print(f"{key:<17s} {value:.6g}" if isinstance(value, float) else f"{key:<17s} {value}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UpdateFileError(f"{path}: cannot be read: {error.strerror}") from error
