"""The ``allocate`` command: its JSON, its table, and one clear line for each kind of bad input."""

import argparse
import io
import json
import subprocess
import sys

import pytest

from deploy.commands import allocate
from protocol.errors import ConfigurationError

EXAMPLE = {
    "rb_total": 28,
    "guard_rb": 1,
    "V": 1.0,
    "latency_model": "per-client",
    "queue_s": 0.0,
    "deadline_s": 6.0,
    "clients": [
        {
            "name": "a",
            "weight": 0.5,
            "queue_s": 0.3,
            "compute_s": 1.2,
            "overhead_s": 0.0,
            "rate_bps": [1.1e5, 2.2e5],
            "curve": [[0, 1.0], [20000, 0.4], [40000, 0.1]],
        }
    ],
}


def run(tmp_path, instance, *options):
    path = tmp_path / "instance.json"
    path.write_text(instance if isinstance(instance, str) else json.dumps(instance))
    return run_arguments(str(path), *options)


def run_arguments(*arguments):
    parser = argparse.ArgumentParser()
    allocate.add_parser(parser.add_subparsers())
    return allocate.run(parser.parse_args(["allocate", *arguments]))


def changed(key, value, client=False):
    instance = json.loads(json.dumps(EXAMPLE))
    (instance["clients"][0] if client else instance)[key] = value
    return instance


def without(key, client=False):
    instance = json.loads(json.dumps(EXAMPLE))
    del (instance["clients"][0] if client else instance)[key]
    return instance


def placed(rows):
    """The example with its client's goodput given by place."""
    instance = without("rate_bps", client=True)
    instance["clients"][0]["rate_bps_at"] = rows
    return instance


def test_the_json_holds_every_field_of_the_contract(tmp_path, capsys):
    assert run(tmp_path, EXAMPLE, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"clients", "objective", "lower_bound", "gap", "exact", "solve_s"}
    [client] = answer["clients"]
    expected = {"name": "a", "rb_start": 0, "rb_count": 2, "bits": 40000, "energy": 0.1}
    assert {key: client[key] for key in expected} == expected
    assert client["latency_s"] == pytest.approx(1.2 + 40000 / 2.2e5)
    assert answer["objective"] == pytest.approx(0.5 * 0.1 + 0.3 * (1.2 + 40000 / 2.2e5))
    assert answer["exact"] is True


def test_the_table_names_the_granted_blocks(tmp_path, capsys):
    instance = json.loads(json.dumps(EXAMPLE))
    instance["clients"].append({**instance["clients"][0], "name": "far-away", "rate_bps": []})
    assert run(tmp_path, instance) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a", "0-1", "40000", "0.1", "1.382"]
    assert lines[2].split() == ["far-away", "silent", "0", "1", "1.200"]
    assert "exact" in lines[3]


def test_grants_by_place_are_shown_where_they_lie(tmp_path, capsys):
    rows = [[0.0] * 9 + [1.1e5], [0.0] * 9 + [2.2e5], []]
    assert run(tmp_path, placed(rows)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a", "9-10", "40000", "0.1", "1.382"]
    assert run(tmp_path, placed(rows), "--json") == 0
    assert json.loads(capsys.readouterr().out)["clients"][0]["rb_start"] == 9


def test_a_dash_reads_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EXAMPLE).encode())))
    assert run_arguments("-", "--json") == 0
    assert json.loads(capsys.readouterr().out)["clients"][0]["rb_count"] == 2


def test_the_command_needs_neither_torch_nor_gnu_radio():
    code = (
        "import sys, deploy.commands.allocate; "
        "print([m for m in ('torch', 'gnuradio', 'scipy', 'transformers') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


BAD = {
    "not JSON": ("{", "not valid JSON"),
    "NaN": ('{"clients": [], "V": NaN}', "not valid JSON"),
    "no object": ("[]", "expected an object with a list 'clients'"),
    "no clients": (without("clients"), "expected an object with a list 'clients'"),
    "missing key": (without("rb_total"), "missing required field `rb_total`"),
    "unknown key": (changed("guard_rbs", 1), "unknown key 'guard_rbs'; the nearest valid one is 'guard_rb'"),
    "unknown model": (changed("latency_model", "both"), "latency_model: Invalid enum value 'both'"),
    "wrong type": (changed("V", "1"), "V: Expected `float`, got `str`"),
    "fractional blocks": (changed("rb_total", 2.5), "rb_total: Expected `int`, got `float`"),
    "negative blocks": (changed("rb_total", -1), "rb_total must be between 0 and 4096, got -1"),
    "negative guard": (changed("guard_rb", -1), "guard_rb must be between 0 and 4096, got -1"),
    "negative deadline": (changed("deadline_s", -1.0), "deadline_s must be finite and at least 0"),
    "negative V": (changed("V", -1.0), "V must be finite and at least 0"),
    "client is no object": (changed("clients", [3]), "clients[0]: Expected `object`, got `int`"),
    "nameless": (without("name", client=True), "clients[0]: Object missing required field `name`"),
    "empty name": (changed("name", "", client=True), "clients[0]: name must not be empty"),
    "two of one name": (changed("clients", EXAMPLE["clients"] * 2), "two clients are called 'a'"),
    "unknown client key": (
        changed("overhed_s", 1.0, client=True),
        "client 'a': unknown key 'overhed_s'; the nearest valid one is 'overhead_s'",
    ),
    "negative weight": (changed("weight", -0.5, client=True), "client 'a': weight must be finite and at least 0"),
    "negative queue": (changed("queue_s", -0.5, client=True), "client 'a': queue_s must be finite and at least 0"),
    "absurd weight": (changed("weight", 1e300, client=True), "client 'a': weight must be finite and at least 0"),
    "negative rate": (changed("rate_bps", [1.0, -1.0], client=True), "client 'a': rate_bps must be finite"),
    "no curve": (changed("curve", [], client=True), "client 'a': curve: the first point must be the one of zero bits"),
    "no zero-bit point": (
        changed("curve", [[5, 1.0]], client=True),
        "client 'a': curve: the first point must be the one of zero bits",
    ),
    "three numbers": (changed("curve", [[0, 1.0, 2]], client=True), "client 'a': curve[0]: Expected `array`"),
    "bits fall": (
        changed("curve", [[0, 1.0], [9, 0.5], [8, 0.4]], client=True),
        "client 'a': curve: bits must ascend, but 8 follows 9",
    ),
    "energy rises": (
        changed("curve", [[0, 1.0], [9, 1.5]], client=True),
        "client 'a': curve: energy must not rise, but 1.5 follows 1",
    ),
    "negative energy": (changed("curve", [[0, -1.0]], client=True), "client 'a': curve must be finite"),
    "both kinds of rate": (
        changed("rate_bps_at", [[1.0]], client=True),
        "client 'a': give either rate_bps or rate_bps_at; both are given",
    ),
    "no rate": (
        without("rate_bps", client=True),
        "client 'a': give either rate_bps or rate_bps_at; neither is given",
    ),
    "too many starts": (
        placed([[1.0] * 28, [1.0] * 28]),
        "client 'a': rate_bps_at[1] has 28 entries, but 2 RBs have 27 starts in a band of 28",
    ),
    "too many rows": (placed([[]] * 29), "client 'a': rate_bps_at has 29 rows, but the band has 28 RBs"),
    "negative rate somewhere": (
        placed([[1.0, 1.0], [1.0, -1.0]]),
        "client 'a': rate_bps_at[1] must be finite and at least 0",
    ),
    "flat rates by place": (placed([1.0]), "client 'a': rate_bps_at[0]: Expected `array`, got `float`"),
}


@pytest.mark.parametrize(("instance", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line_naming_file_client_and_key(tmp_path, instance, message):
    with pytest.raises(ConfigurationError) as refused:
        run(tmp_path, instance)
    line = str(refused.value)
    assert "instance.json: " in line
    assert message in line
    assert "\n" not in line


def test_a_missing_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.json: cannot be read: No such file"):
        run_arguments(str(tmp_path / "absent.json"))
