"""The robustness benchmark's command line."""

import sys

import pytest

from benchmarks.robustness import __main__ as robustness


@pytest.mark.parametrize(("options", "said"), [(["--quick"], True), ([], False)])
def test_quick_figures_are_said_to_be_indicative_only(options, said, capsys, monkeypatch):
    monkeypatch.setattr(robustness, "SECTIONS", {"clock": lambda pool, quick: print("figures")})
    monkeypatch.setattr(sys, "argv", ["robustness", *options, "--jobs", "1", "clock"])
    robustness.main()
    shown = capsys.readouterr().out
    assert "figures" in shown
    assert ("indicative only" in shown) == said
