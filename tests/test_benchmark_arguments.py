"""A benchmark's wrong arguments are told in one line, with exit code 2, before it runs."""

import argparse
import importlib
import re
import sys
from pathlib import Path

import pytest

from benchmarks.parts.arguments import integer, one_of, positive_number

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("convert", "text", "line"),
    [
        (integer(1), "0", "'0' is no whole number of 1 or more"),
        (integer(1), "two", "'two' is no whole number of 1 or more"),
        (integer(1, 28), "29", "'29' is no whole number from 1 to 28"),
        (positive_number, "nan", "'nan' is no number above 0"),
        (positive_number, "0", "'0' is no number above 0"),
        (positive_number, "inf", "'inf' is no number above 0"),
        (one_of(["awgn", "tdl-a"]), "nope", "'nope' is not one of: awgn, tdl-a"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(convert, text, line):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        convert(text)
    assert str(caught.value) == line


def test_right_values_are_taken():
    assert (integer(1, 28)("28"), integer(0)("0"), positive_number("2.5e9"), one_of(["awgn", "tdl-a"])("awgn")) == (
        28, 0, 2.5e9, "awgn",
    )  # fmt: skip


def test_no_benchmark_takes_any_whole_number_or_any_word():
    for path in [*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("robustness/*.py")]:
        for argument in re.findall(r"add_argument\([^)]*", path.read_text("utf-8")):
            assert "type=int," not in argument, path.name
            assert "nargs" not in argument or "type=" in argument or "choices=" in argument, path.name


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("tsfa_lp --sizes abc", "argument --sizes: 'abc' is no size: clients x RBs x points, as in 32x100x16"),
        (
            "tsfa_lp --sizes 0x100x16",
            "argument --sizes: '0x100x16' is no size: clients x RBs x points, as in 32x100x16",
        ),
        ("tsfa_speed --draws 0", "argument --draws: '0' is no whole number of 1 or more"),
        ("abstract_validation nope", "argument scenario: 'nope' is not one of: "),
        ("abstract_validation own-noise awgn", "own-noise stands alone"),
        ("abstract_rounds --clients 0", "argument --clients: '0' is no whole number of 1 or more"),
        ("demo --set nope=1", "--set nope=1: "),
    ],
)
def test_the_command_ends_with_2_before_it_runs(command, line, monkeypatch, capsys):
    name, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert line in told.err.splitlines()[-1]
