"""A nested mapping as TOML text (the standard library only reads TOML)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    """TOML of ``values``: strings, numbers, booleans, lists, tables and lists of tables.

    Raises TypeError for anything else, None included (TOML has no null).
    """
    lines: list[str] = []
    _table(lines, values, ())
    return "\n".join(lines).strip() + "\n"


def _table(lines: list[str], values: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Plain keys first: TOML would give those after a sub-table to the sub-table."""
    for key, value in values.items():
        if not _is_nested(value):
            lines.append(f"{_key(key)} = {_inline(value)}")
    for key, value in values.items():
        if not _is_nested(value):
            continue
        here = (*path, _key(key))
        name = ".".join(here)
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]"]
            _table(lines, value, here)
        else:
            for item in value:
                lines += ["", f"[[{name}]]"]
                _table(lines, item, here)


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # JSON escapes are valid TOML escapes once every character stands for itself; DEL alone differs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"TOML cannot hold {type(value).__name__}")
