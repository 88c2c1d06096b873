"""``docs/experiment.md`` against ``protocol/configuration.py``: every table, every key, its default and its values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT, inspect
from msgspec.structs import FieldInfo, fields

from protocol.configuration import ClientTable, Experiment

PAGE = Path(__file__).parents[2] / "docs" / "experiment.md"
TABLES = {f.name: f.type for f in fields(Experiment)} | {"clients.members": ClientTable}


def default_of(field: FieldInfo) -> str:
    """As the page has it."""
    value = field.default if field.default_factory is NODEFAULT else field.default_factory()
    if value is NODEFAULT:
        return "required"
    if value is None:
        return "none"
    text = f"{value:g}".replace("e+0", "e") if isinstance(value, float) else json.dumps(value)
    return f"`{text}`"


def values_of(kind: inspect.Type) -> str:
    """As the page has it."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = (k for k in kind.types if not isinstance(k, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return span_of(kind)
    if isinstance(kind, inspect.StrType):
        return "text" if kind.pattern is None else "a name: at most 48 letters, digits, `_`, `.`, `-`"
    return {inspect.BoolType: "`true`, `false`", inspect.ListType: "list"}[type(kind)]


def span_of(kind: Any) -> str:
    """Range of a number."""
    low = f"at least {kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}" if kind.gt is not None else ""
    high = f"at most {kind.le:g}" if kind.le is not None else f"below {kind.lt:g}" if kind.lt is not None else ""
    if kind.lt == 2**53:
        high = "below 2^53"
    return ", ".join(part for part in (low, high) if part) or "any"


def rows_on_page(table: str) -> dict[str, list[str]]:
    """Cells of each row of a table's section, by key."""
    heading = r"\[\[clients\.members\]\]" if table == "clients.members" else rf"\[{table}\]"
    section = re.search(rf"^## `{heading}`$(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert section, f"docs/experiment.md: no section [{table}]"
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section[1], re.MULTILINE)
    return {key: cells.split(" | ") for key, cells in rows}


@pytest.mark.parametrize("table", TABLES)
def test_the_page_has_every_key_with_its_default_and_values(table):
    on_page = rows_on_page(table)
    kinds = {f.name: f.type for f in inspect.type_info(TABLES[table]).fields}
    for field in fields(TABLES[table]):
        expected = [default_of(field), values_of(kinds[field.name])]
        row = f"| `{field.name}` | {expected[0]} | {expected[1]} | MEANING |"
        assert field.name in on_page, f"docs/experiment.md, [{table}]: add {row}"
        found = on_page.pop(field.name)
        assert found[:2] == expected, f"docs/experiment.md, [{table}]: should be {row}"
        assert len(found) == 3, f"docs/experiment.md, [{table}] {field.name}: must have one meaning"
        assert found[2].strip(), f"docs/experiment.md, [{table}] {field.name}: has no meaning"
    assert not on_page, f"docs/experiment.md, [{table}]: there is no {', '.join(on_page)}"


def test_the_page_has_no_table_but_these():
    headings = re.findall(r"^## `\[+([\w.]+)\]+`$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(TABLES)


def test_the_example_of_the_page_is_an_experiment():
    from protocol.experiment_file import experiment_from_dict, tomllib

    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    experiment = experiment_from_dict(tomllib.loads(example), "docs/experiment.md")
    assert msgspec.to_builtins(experiment)["clients"]["members"]
