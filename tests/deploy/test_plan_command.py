"""``airtune plan``: what cannot work is told before anything is trained."""

import pytest

from base_station.store.toml_text import toml_text
from deploy.cli import main
from deploy.planning import auto


@pytest.fixture
def lab(tmp_path, monkeypatch):
    members = [{"name": "edge-1", "mean_snr_db": 20.0}]
    tables = {"experiment": {"name": "plan"}, "clients": {"members": members, "device": "reference-2core"}}
    (tmp_path / "lab.toml").write_text(toml_text(tables))
    monkeypatch.chdir(tmp_path)

    def trained(*_):
        raise AssertionError("trained")

    monkeypatch.setattr(auto, "make_plan", trained)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--out", "lab.toml"], 8, "lab.toml: is a file, not a directory; choose another"),
        (["--out", "lab.toml/below"], 8, "lab.toml: is a file, not a directory; choose another"),
        (["--ranks", "4,8,4"], 2, "--ranks 4,8,4: each rank only once"),
        (["--set", "tsfa.latency_budget_s=0.001"], 2, " s, the latency budget 0.001 s"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_trained(lab, arguments, code, line, capsys):
    assert main(["plan", "lab.toml", *arguments]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.endswith(f"{line}\n")
    assert not (lab / "runs").exists()


def test_where_the_plan_cannot_be_kept_nothing_is_trained(lab, capsys):
    (lab / "runs").write_text("mine")
    assert main(["plan", "lab.toml"]) == 8
    assert capsys.readouterr().err.endswith("/runs: is a file, not a directory; choose another\n")
