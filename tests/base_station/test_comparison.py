import csv
import math
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fake_run import make_fake_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from base_station.comparison import terminal
from base_station.comparison.measures import MEASURES, RunCurve, Yardstick, read_curve
from base_station.comparison.page import write_page
from base_station.comparison.statistics import mean_interval, paired_difference, paired_ratio, verdict
from base_station.comparison.table import compare
from base_station.comparison.terminal import print_comparison
from base_station.comparison.text import against_text, document, headings, mean_text, write_latex, write_tables
from base_station.store.run_store import RunStore


def curve(seed=1, accuracy=0.7, airtime_s=2.0, validation=(0.1, 0.4, 0.7), **values):
    rounds = len(validation)
    return RunCurve(**{
        "directory": Path(f"runs/x-seed{seed}"), "seed": seed, "iq": True, "version": "abc", "accuracy": accuracy,
        "worst_client_accuracy": 0.5, "macro_f1": 0.6, "perplexity": None, "validation": list(validation),
        "airtime_s": [airtime_s * (t + 1) / rounds for t in range(rounds)], "air_bits": 1_000_000, "energy_j": 0.02,
        "latency_s": 4.0, "latency_budget_s": 5.0, "sparsity": 0.5,
        "cosine": 0.1, "seconds_per_step": None, "conditions": {"data": "a", "rounds": "3"}, **values,
    })  # fmt: skip


def cell(comparison, method, key):
    row = next(row for row in comparison.rows if row.name == method)
    return next(c for c in row.cells if c.measure.key == key)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12, unique=True))
def test_intervals_are_those_of_scipy(values):
    ours = mean_interval(values)
    sem = stats.sem(values)
    if sem > 1e-9:
        np.testing.assert_allclose(ours[1:3], stats.t.interval(0.95, len(values) - 1, np.mean(values), sem), rtol=1e-6,
                                   atol=1e-9)  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_a_paired_difference_is_that_of_scipys_paired_t_test(seed, count):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, count))
    ours = paired_difference(dict(enumerate(a)), {**dict(enumerate(b)), 99: 7.0})
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(ours[:3], [np.mean(a - b), low, high], rtol=1e-9, atol=1e-12)
    assert ours.values == count


def test_costs_that_are_the_same_to_the_bit_are_equal():
    assert verdict(paired_ratio({1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0}), 1.0, None) == "equal"


def test_costs_are_compared_by_their_ratio():
    ratio = paired_ratio({1: 2.0, 2: 8.0}, {1: 1.0, 2: 2.0})
    assert ratio.mean == pytest.approx(math.sqrt(8.0))
    assert ratio.low * ratio.high == pytest.approx(8.0)
    assert paired_ratio({1: 2.0}, {1: 0.0}) is None
    assert paired_ratio({1: 2.0}, {2: 1.0}) is None


def test_equal_is_said_only_within_one_point():
    def said(low, high):
        interval = mean_interval([0.0, 1.0])._replace(low=low, high=high)
        return verdict(interval, 0.0, 0.01)

    assert said(-0.009, 0.009) == "equal"
    assert said(0.002, 0.009) == "equal"
    assert said(0.002, 0.011) == "higher"
    assert said(-0.03, -0.01) == "lower"
    assert said(-0.02, 0.001) == "open"
    assert verdict(mean_interval([3.0]), 0.0, 0.01) == ""


def test_methods_are_compared_with_the_reference_over_common_seeds():
    methods = {
        "dense": [curve(s, 0.70 + 0.01 * s, 6.0 + s) for s in (1, 2, 3)],
        "soft": [curve(s, 0.60 + 0.01 * s, (6.0 + s) / 3) for s in (2, 3, 4)],
    }
    comparison = compare("x", methods)
    accuracy, airtime = cell(comparison, "soft", "accuracy"), cell(comparison, "soft", "airtime_s")
    assert accuracy.mean.mean == pytest.approx(0.63)
    assert accuracy.against.mean == pytest.approx(-0.10)
    assert accuracy.against.values == 2
    assert accuracy.verdict == "lower"
    assert airtime.against.mean == pytest.approx(1 / 3)
    assert airtime.verdict == "lower"
    assert cell(comparison, "dense", "accuracy").against is None
    assert [c.measure for c in comparison.rows[0].cells] == [m for m in MEASURES if m.key != "perplexity"]
    swapped = compare("x", methods, reference="soft")
    assert cell(swapped, "dense", "accuracy").against.mean == pytest.approx(0.10)


def test_a_reference_without_a_run_is_told_and_another_is_taken():
    comparison = compare("x", {"soft": [curve(1)], "dense": []}, reference="dense")
    assert comparison.reference == "soft"
    assert [row.name for row in comparison.rows] == ["soft"]
    assert "No run is there of: dense. Methods are compared with soft." in comparison.remarks


def test_runs_of_different_tasks_are_remarked_on():
    alike = {"a": [curve(1)], "b": [curve(1)]}
    assert not compare("x", alike).remarks
    other = {"data": "b", "rounds": "3"}
    (remark,) = compare("x", {**alike, "c": [curve(1, conditions=other)]}).remarks
    assert remark.startswith("The runs differ in their data:")


def test_runs_that_learned_or_sent_nothing_set_no_yardstick():
    nothing = curve(1, accuracy=0.0, validation=(0.0, 0.0, 0.0), airtime_s=0.0)
    comparison = compare("x", {"a": [nothing], "b": [curve(1, airtime_s=2.0)]})
    assert comparison.yardstick.target is None
    assert comparison.yardstick.airtime_s == pytest.approx(2.0)


def test_an_airtime_beyond_a_runs_end_is_remarked_on():
    runs = {"a": [curve(1, airtime_s=2.0)], "b": [curve(1, airtime_s=3.0)]}
    assert not compare("x", runs).remarks
    (remark,) = compare("x", runs, airtime_s=2.5).remarks
    assert remark.startswith("1 of 2 runs took less than 2.50 s")


def test_language_models_are_compared_by_perplexity_and_have_no_macro_f1(tmp_path):
    methods = {"soft": [curve(macro_f1=None, perplexity=40.0)], "dense": [curve(macro_f1=None, perplexity=50.0)]}
    comparison = compare("x", methods, reference="dense")
    assert cell(comparison, "soft", "perplexity").against.mean == pytest.approx(0.8)
    shown = headings(comparison.rows)
    assert "Perplexity" in shown
    assert "Macro-F1" not in shown
    for row in comparison.rows:
        assert len(row.cells) == len(shown)
    latex = write_latex(comparison, tmp_path / "x.tex").read_text()
    assert r"l" + len(shown) * "r" in latex
    assert "40.00" in latex


def test_the_target_is_reached_where_the_mean_of_three_rounds_reaches_it():
    run = curve(validation=(0.0, 0.6, 0.6, 0.6, 0.9), airtime_s=5.0)
    assert run.smoothed == pytest.approx([0.0, 0.3, 0.4, 0.6, 0.7])
    assert run.values(Yardstick(0.59, None))["rounds_to_target"] == 4.0
    assert run.values(Yardstick(0.59, None))["airtime_to_target_s"] == pytest.approx(4.0)
    assert run.values(Yardstick(0.8, None))["rounds_to_target"] is None
    assert list(run.values(Yardstick(None, None))) == [m.key for m in MEASURES]
    comparison = compare("x", {"a": [run]})
    assert comparison.yardstick.target == pytest.approx(0.69)
    assert cell(comparison, "a", "rounds_to_target").mean.mean == 5.0


def test_a_ratio_says_how_many_runs_are_in_it(tmp_path):
    reached, missed = (0.1, 0.7, 0.7, 0.7), (0.1, 0.2, 0.2, 0.2)
    dense = [curve(s, validation=reached, airtime_s=8.0) for s in (1, 2, 3)]
    soft = [curve(s, validation=missed if s == 3 else reached, airtime_s=2.0) for s in (1, 2, 3)]
    comparison = compare("x", {"dense": dense, "soft": soft}, target=0.5)
    assert against_text(cell(comparison, "soft", "airtime_to_target_s")) == "0.25 x [0.25, 0.25] lower (2 of 3)"
    assert against_text(cell(comparison, "soft", "airtime_s")) == "0.25 x [0.25, 0.25] lower"
    told = document(comparison)["methods"][1]["measures"]
    assert [told[key]["pairs"] for key in ("airtime_to_target_s", "airtime_s")] == [2, 3]
    lines = list(csv.DictReader(write_tables(comparison, tmp_path)[0].open()))
    assert {(line["measure"], line["pairs"]) for line in lines if line["method"] == "soft"} >= {
        ("airtime_to_target_s", "2"), ("airtime_s", "3"),
    }  # fmt: skip


def test_accuracies_are_compared_at_the_airtime_that_every_run_took():
    frugal = curve(validation=(0.3, 0.6, 0.6), airtime_s=3.0)
    dense = curve(validation=(0.6, 0.8, 0.9, 0.9), airtime_s=8.0)
    comparison = compare("x", {"dense": [dense], "frugal": [frugal]})
    assert comparison.yardstick.airtime_s == 3.0
    assert cell(comparison, "dense", "accuracy_at_airtime").mean.mean == pytest.approx(0.6)  # after its first round
    assert cell(comparison, "frugal", "accuracy_at_airtime").mean.mean == pytest.approx(0.5)
    assert cell(compare("x", {"dense": [dense]}, airtime_s=5.0), "dense", "accuracy_at_airtime").mean.mean == 0.7
    assert dense.accuracy_at(1.9) is None


def test_a_run_that_is_not_finished_does_not_look_cheap():
    whole = curve(1, airtime_s=6.0, validation=(0.2, 0.4, 0.6, 0.6))
    half = curve(2, accuracy=None, worst_client_accuracy=None, macro_f1=None, validation=(0.3,) * 4, airtime_s=3.0)
    comparison = compare("x", {"dense": [whole], "soft": [curve(1, airtime_s=5.0), half]})
    assert comparison.yardstick == Yardstick(pytest.approx(0.6 - 0.2 / 3 - 0.01), 5.0)
    for key in ("airtime_s", "air_bits", "energy_j", "plateau_accuracy", "accuracy_at_airtime"):
        assert half.values(comparison.yardstick)[key] is None
    assert half.accuracy_at(2.9) == pytest.approx(0.3)
    assert cell(comparison, "soft", "airtime_s").mean.mean == 5.0
    assert mean_text(cell(comparison, "soft", "airtime_s")) == "5.00 (1 of 2)"
    assert compare("x", {"soft": [half]}).yardstick == Yardstick(None, None)


def test_a_run_has_a_plateau_once_a_third_of_it_moves_by_less_than_a_point():
    assert curve(validation=(0.1, 0.2, 0.69, 0.7, 0.70, 0.706)).plateau == pytest.approx(0.703)
    assert curve(validation=(0.1, 0.2, 0.69, 0.7, 0.70, 0.720)).plateau is None
    assert curve(validation=(0.1, 0.2, 0.70, 0.72, 0.69, 0.70)).plateau is None
    assert curve(validation=(0.5, 0.5)).plateau is None


def test_a_run_is_read_as_its_database_has_it(tmp_path):
    run = read_curve(make_fake_run(tmp_path / "run"))
    with RunStore.read(tmp_path / "run") as store:
        rounds, clients = list(store.rounds()), [c for c in store.clients() if c.weight > 0]
    assert run.accuracy == 0.6452
    assert run.worst_client_accuracy is None
    assert run.airtime_s[-1] == pytest.approx(sum(r.airtime_s for r in rounds))
    assert run.air_bits == sum(r.air_bits for r in rounds)
    assert run.latency_s == pytest.approx(np.mean([c.latency_s for c in clients]))
    assert run.sparsity == pytest.approx(np.mean([c.sparsity for c in clients]))
    assert run.cosine == pytest.approx(np.mean([c.cosine_mean for c in clients]))
    assert run.energy_j == pytest.approx(sum(c.transmit_energy_j for c in clients))
    assert run.version == "0123456789ab"


def test_a_reader_is_told_what_spoils_the_comparison(tmp_path):
    unfinished = read_curve(make_fake_run(tmp_path / "run", done=3))
    other = curve(
        2, iq=False, version="def", seconds_per_step=0.4, latency_budget_s=9.0, conditions=unfinished.conditions
    )
    remarks = " ".join(compare("x", {"a": [unfinished], "b": [other]}).remarks)
    for part in ("1 of 2 runs are not finished", "no IQ", "versions", "device profiles", "latency budgets"):
        assert part in remarks
    assert compare("x", {"a": [curve(1)], "b": [curve(2)]}).remarks == []


class _Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts = []

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_every_form_tells_the_same(tmp_path, capsys):
    methods = {
        "soft & co_1": [curve(s, 0.7 + 0.0008 * s) for s in (1, 2)],
        "dense": [curve(s, 0.7, 6.0, validation=(0.1, 0.2)) for s in (1, 2)],
    }
    comparison = compare("x <y>", methods, target=0.3)
    page = _Texts()
    page.feed(write_page(comparison, tmp_path / "c.html").read_text())
    assert "0.701 ± 0.005" in page.texts
    assert "x <y>" in page.texts
    latex = write_latex(comparison, tmp_path / "c.tex").read_text()
    assert r"soft \& co\_1 & 0.701 $\pm$ 0.005" in latex
    assert r"-- (0 of 2)" in latex
    assert latex.count(r" \\") == 3
    _, runs, curves = write_tables(comparison, tmp_path)
    points = list(csv.DictReader(curves.open()))
    assert len(points) == sum(len(run.validation) for row in comparison.rows for run in row.runs)
    assert float(points[0]["validation_accuracy"]) == comparison.rows[0].runs[0].validation[0]
    assert r"Worst $|$cosine$|$" in latex
    lines = list(csv.DictReader(runs.open()))
    assert [line["rounds_to_target"] for line in lines] == ["3.0", "3.0", "", ""]
    assert float(lines[0]["accuracy"]) == pytest.approx(0.7008)
    told = document(comparison)
    assert told["methods"][1]["measures"]["airtime_s"]["ratio"][0] == pytest.approx(3.0)
    assert told["methods"][1]["measures"]["accuracy"]["verdict"] == "equal"
    print_comparison(comparison, sys.stdout)
    printed = capsys.readouterr().out
    assert "0.701 ± 0.005" in printed
    assert "3.00 x" in printed


def test_one_run_alone_has_no_interval(tmp_path):
    comparison = compare("x", {"a": [curve(1)]})
    write_page(comparison, tmp_path / "c.html")
    assert document(comparison)["methods"][0]["measures"]["accuracy"]["mean"] == [0.7, None, None]
    assert "0.700 &" in write_latex(comparison, tmp_path / "c.tex").read_text()


def test_long_names_are_numbered_and_told_below_the_table(capsys):
    long = "soft.quant_bits 8, tsfa.latency_budget_s 4.68"
    print_comparison(compare("x", {"soft": [curve(1), curve(2)], long: [curve(1), curve(2)]}), sys.stdout)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "(1)" in line and "(2)" in line]
    assert lines[-2:] == ["(1) soft", f"(2) {long}"]
    assert not any(long in line for line in lines if "│" in line or "┃" in line)


def test_a_narrow_terminal_gets_several_tables_and_no_wrapped_cell(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "_WIDTH_ELSEWHERE", 80)
    methods = {f"method-{i}": [curve(1), curve(2, accuracy=0.71)] for i in range(5)}
    comparison = compare("x", methods)
    print_comparison(comparison, sys.stdout)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for name in methods:
        for cell in next(row for row in comparison.rows if row.name == name).cells:
            assert mean_text(cell) in printed
            assert cell.against is None or against_text(cell) in printed
