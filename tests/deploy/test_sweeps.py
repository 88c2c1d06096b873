import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import msgspec
import pytest
from fake_run import make_fake_run

from deploy.cli import main
from deploy.planning.planner import plan_key
from deploy.sweeps.local import default_jobs, make_runs
from deploy.sweeps.on_ray import make_runs_on_ray
from deploy.sweeps.one_run import Outcome, run_environment
from deploy.sweeps.planned import default_out, make_plan
from deploy.sweeps.sweep_file import load_sweep
from protocol.errors import ConfigurationError
from protocol.schemes import AllocationRule, Compression

STUDY = Path(__file__).parents[2] / "examples" / "study"
SCREENING = STUDY / "screening.toml"
SWEEPS = sorted(path for path in STUDY.glob("*.toml") if path.name != "base.toml")
EXPERIMENT = """
[experiment]
name = "lab"
rounds = 4
[clients]
members = [{ name = "edge-1", mean_snr_db = 20.0 }]
"""
SWEEP = """
[sweep]
name = "bits"
base = "lab.toml"
seeds = [1, 2, 3]
reference = "frozen quant_bits 8"
target_accuracy = 0.5
equal_airtime_s = 3.0
[[methods]]
name = "soft"
[[methods]]
name = "frozen"
set = { "training.aggregation" = "freeze-a" }
[grid]
"soft.quant_bits" = [8, 32]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lab.toml").write_text(EXPERIMENT)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    return tmp_path


def test_a_sweep_is_every_method_with_every_value_under_every_seed(folder):
    plan = make_plan([folder / "sweep.toml"], ["training.local_steps=3"], None, folder / "out")
    assert list(plan.methods) == [
        "soft quant_bits 8", "soft quant_bits 32", "frozen quant_bits 8", "frozen quant_bits 32",
    ]  # fmt: skip
    assert [run.seed for run in plan.methods["soft quant_bits 32"]] == [1, 2, 3]
    assert {run.experiment.training.local_steps for run in plan.runs} == {3}
    frozen = plan.methods["frozen quant_bits 8"][0].experiment
    assert (frozen.training.aggregation, frozen.soft.quant_bits) == ("freeze-a", 8)
    assert (plan.reference, plan.target, plan.equal_airtime_s) == ("frozen quant_bits 8", 0.5, 3.0)
    assert len({run.directory for run in plan.runs}) == 12
    seeded = make_plan([folder / "sweep.toml"], [], [7], folder / "out")
    assert [run.seed for run in seeded.runs] == [7] * 4
    assert default_out([folder / "sweep.toml"], folder) == folder / "bits"


def test_a_run_is_found_again_while_nothing_in_its_experiment_changed(folder):
    def directories(*overrides):
        return [run.directory for run in make_plan([folder / "lab.toml"], overrides, [1, 2], folder / "out").runs]

    assert directories() == directories()
    assert directories("soft.quant_bits=8") == directories()
    assert not set(directories("soft.quant_bits=4")) & set(directories())


def test_another_table_in_the_same_file_makes_another_run_and_another_plan(folder):
    table = folder / "texts.csv"

    def made():
        run = make_plan([folder / "lab.toml"], ['data.source="table"', f'data.path="{table}"'], [1], folder / "out")
        return run.runs[0].directory, plan_key(run.runs[0].experiment, (1, 2))

    table.write_text("text,label\ngood,1\nbad,0\n")
    first = made()
    assert made() == first
    table.write_text("text,label\nfine,1\nbad,0\n")
    assert not set(made()) & set(first)


def test_experiments_and_runs_of_one_name_are_told_apart_by_what_differs(folder):
    (folder / "other.toml").write_text(EXPERIMENT.replace("rounds = 4", "rounds = 6"))
    plan = make_plan([folder / "lab.toml", folder / "other.toml"], [], [1, 2], folder / "out")
    assert list(plan.methods) == ["lab (rounds 4)", "lab (rounds 6)"]
    run = make_fake_run(folder / "fake")
    alone = make_plan([run, folder / "lab.toml"], [], None, folder / "out")
    assert list(alone.methods) == ["fake", "lab"]
    assert alone.methods["fake"][0].finished
    with pytest.raises(ConfigurationError, match=r"two runs of 'fake' have seed 7: .*/fake, .*/fake; leave one out"):
        make_plan([run, run], [], None, folder / "out")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds =", "seed =", r"unknown key 'seed'; the nearest valid one is 'seeds'"),
        ("[grid]", "[gird]", r"unknown key 'gird'; the nearest valid one is 'grid'"),
        ("[1, 2, 3]", "[1, -2]", r"sweep.seeds\[1\]"),
        ("[1, 2, 3]", "[1, 1]", r"a seed is listed twice"),
        ('name = "frozen"', 'name = "soft"', r"two methods are called 'soft quant_bits 8'"),
        ('"soft.quant_bits" = [8, 32]', '"soft.quant_bit" = [8]', r"unknown key 'soft.quant_bit'; the nearest"),
        ('"soft.quant_bits" = [8, 32]', '"soft.quant_bits" = [8, 9]', r"soft.quant_bits"),
        ('"soft.quant_bits" = [8, 32]', '"quant_bits" = [8]', r"quant_bits: expected TABLE.KEY=VALUE"),
        ("[grid]", '[grid]\n"training.aggregation" = ["exact"]', r"'frozen' sets training.aggregation, which the grid"),
        ("[8, 32]", "8", r"sweep.toml: grid: soft.quant_bits: expected a list of values, as in \[8\]"),
        ('"soft.quant_bits" = [8, 32]', '"experiment.seed" = [4, 8]', r"experiment.seed: runs are made with the seeds"),
        ('name = "frozen"', 'name = "frozen A"', r"methods\[1\].name: expected a name of at most 48 letters"),
        ('"freeze-a" }', '"freeze-b" }', r"sweep.toml: 'frozen quant_bits 8': training.aggregation: Invalid enum"),
        ("frozen quant_bits 8", "thawed", r"sweep.reference: no method 'thawed' to compare with"),
        ('base = "lab.toml"', 'base = "lob.toml"', r"lob.toml: cannot be read"),
    ],
)
def test_a_wrong_sweep_is_refused_by_name(folder, capsys, old, new, said):
    (folder / "sweep.toml").write_text(SWEEP.replace(old, new))
    assert main(["compare", str(folder / "sweep.toml"), "--out", str(folder / "out")]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "1,x"], "--seeds 1,x: must be whole numbers"),
        (["--seeds", "1,1"], "each only once"),
        (["--target", "60"], "--target 60: must lie between 0 and 1"),
        (["--airtime", "0"], "--airtime 0: must be above 0"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
        (["--jobs", "2", "--ray", "auto"], "--jobs counts the runs of this machine"),
        (["--reference", "x"], "no method 'x' to compare with; there are: fake"),
        (["--seeds", "1"], "run directories are compared as they are"),
        (["--set", "soft.quant_bits=4"], "run directories are compared as they are"),
    ],
)
def test_wrong_options_are_refused(folder, capsys, options, said):
    run = make_fake_run(folder / "fake")
    assert main(["compare", str(run), *options, "--out", str(folder / "out")]) == 2
    assert said in capsys.readouterr().err


def test_finished_runs_are_compared_without_running_anything(folder, capsys):
    runs = [str(make_fake_run(folder / "a")), str(make_fake_run(folder / "b", clients=6))]
    assert main(["compare", *runs, "--out", str(folder / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [len(method["runs"]) for method in told["methods"]] == [1, 1]
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "comparison.html", "comparison.tex", "curves.csv", "methods.csv", "runs.csv",
    ]  # fmt: skip
    assert main(["compare", *runs, "--out", str(folder / "out")]) == 0
    assert "Airtime to target" in capsys.readouterr().out


def test_what_cannot_be_read_does_not_stop_the_others(folder, capsys, monkeypatch):
    plan = make_plan([folder / "lab.toml"], [], [1, 2, 3], folder / "out")
    empty, foreign, sound = (run.directory for run in plan.runs)
    make_fake_run(sound)
    make_fake_run(foreign)
    (foreign / "run.sqlite").write_bytes(b"")
    empty.mkdir()
    arguments = ["compare", str(folder / "lab.toml"), "--seeds", "1,2,3", "--out", str(folder / "out")]
    assert main([*arguments, "--json"]) == 12
    streams = capsys.readouterr()
    (method,) = json.loads(streams.out)["methods"]
    assert [run["run_dir"] for run in method["runs"]] == [str(sound)]
    assert f"2 of 3 runs failed; the first: {empty}: holds no run.sqlite; move the directory away" in streams.err


def test_the_seed_of_a_sweep_is_not_set_beside_its_seeds(folder, capsys):
    arguments = ["compare", str(folder / "sweep.toml"), "--set", "experiment.seed=7", "--out", str(folder / "out")]
    assert main(arguments) == 2
    assert "experiment.seed: runs are made with the seeds that are listed" in capsys.readouterr().err
    (run,) = make_plan([folder / "lab.toml"], ["experiment.seed=7"], None, folder / "out").runs
    assert run.seed == 7


def test_a_run_that_fails_does_not_stop_the_others(folder):
    plan = make_plan([folder / "lab.toml"], ['data.source="table"', 'data.path="/nowhere.csv"'], [1, 2], folder / "out")
    outcomes = list(make_runs(plan.runs, 2, lambda: None, 0.5))
    assert sorted(outcome.run.seed for outcome in outcomes) == [1, 2]
    assert all("/nowhere.csv" in outcome.problem for outcome in outcomes)


class FakeRay:
    """Ray's part that is used: tasks run when they are waited for, in a directory of the cluster's own."""

    class RayError(Exception):
        """What Ray raises for a task that failed or was lost."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, directory):
        self._directory = directory
        self.up = False

    def init(self, address, **options):
        self.up = True

    def shutdown(self):
        self.up = False

    def remote(self, **options):
        return lambda function: SimpleNamespace(remote=lambda *arguments: lambda: function(*arguments))

    def wait(self, references, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        before = Path.cwd()
        os.chdir(self._directory)
        try:
            return reference()
        except OSError as error:
            raise self.RayError(f"traceback\nOSError: {error}\n") from error
        finally:
            os.chdir(before)


def test_runs_on_a_cluster_lie_where_they_were_planned_and_a_lost_one_stops_no_other(folder, monkeypatch):
    def make(run, cores, stopped):
        if run.seed == 2:
            raise OSError("the node is gone")
        run.directory.mkdir()
        assert Path.cwd() == folder
        return Outcome(run, "no data" if run.seed == 3 else "")

    (folder / "cluster").mkdir()
    (folder / "out").mkdir()
    monkeypatch.chdir(folder)
    ray = FakeRay(folder / "cluster")
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("deploy.sweeps.on_ray.make_run", make)
    runs = make_plan([Path("lab.toml")], [], [1, 2, 3], Path("out")).runs
    outcomes = list(make_runs_on_ray(runs, "auto", Path("out"), lambda: None, 0.5))
    assert [outcome.run for outcome in outcomes] == runs
    assert [outcome.problem for outcome in outcomes] == ["", "OSError: the node is gone", "no data"]
    assert [run.directory.is_dir() for run in runs] == [True, False, True]
    assert not ray.up


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.stem)
def test_every_shipped_sweep_can_be_run(sweep):
    plan = make_plan([sweep], [], None, sweep.parent)
    assert plan.runs
    assert plan.reference is None or plan.reference in plan.methods


def test_the_screening_tries_every_baseline_once():
    plan = make_plan([SCREENING], [], None, SCREENING.parent)
    assert {run.experiment.radio.driver for run in plan.runs} == {"abstract"}
    experiments = [msgspec.structs.replace(run.experiment, experiment=None) for run in plan.runs]
    assert all(a != b for i, a in enumerate(experiments) for b in experiments[:i])
    tried = {run.experiment.soft.compression for run in plan.runs}
    assert tried == set(get_args(Compression))
    assert {run.experiment.tsfa.allocation for run in plan.runs} == set(get_args(AllocationRule))


def test_a_sweep_without_methods_is_named_by_its_grid(folder):
    text = SWEEP[: SWEEP.index("[[methods]]")] + SWEEP[SWEEP.index("[grid]") :]
    (folder / "sweep.toml").write_text(text)
    assert [label for label, _ in load_sweep(folder / "sweep.toml").settings()] == ["quant_bits 8", "quant_bits 32"]


def test_runs_beside_each_other_share_the_cores(folder, monkeypatch):
    given = []
    monkeypatch.setattr("deploy.sweeps.local.make_run", lambda run, cores, stopped: given.append(cores) or Outcome(run))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    runs = make_plan([folder / "sweep.toml"], [], None, folder / "out").runs[:2]
    for jobs in (1, 3, 20):
        assert len(list(make_runs(runs, jobs, lambda: None, 0.5))) == 2
    assert given == [8, 8, 2, 2, 1, 1]
    assert default_jobs() == 4


def test_no_process_of_a_run_has_more_threads_than_the_run_has_cores():
    code = """
import os, torch
from learning.model import configure_torch
configure_torch(2)
before = len(os.listdir("/proc/self/task"))
torch.ones(4_000_000).exp_()
print(torch.get_num_threads(), len(os.listdir("/proc/self/task")) - before)
x, w = torch.ones(2048, 384), torch.ones(1536, 384)
product = torch.nn.functional.linear(x.bfloat16(), w.bfloat16())
assert torch.all(product == 384.0), "oneDNN left parts of the product out"
"""
    for cores, said in ((1, b"1 0"), (2, b"2 1")):
        done = subprocess.run([sys.executable, "-c", code], env=run_environment(cores), capture_output=True, check=True)
        assert done.stdout.strip() == said
