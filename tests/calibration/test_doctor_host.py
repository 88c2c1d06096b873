"""Checks of the machine, each shown to fail on a machine with that fault."""

import dataclasses
import importlib.util
import os
import shutil
from collections import namedtuple
from datetime import datetime, timezone
from pathlib import Path

import pytest

from calibration.doctor import libraries as library_checks
from calibration.doctor.findings import Check, Finding, Seen, worst
from calibration.doctor.host import HOST_CHECKS, Host, clock_is_synchronised
from calibration.doctor.libraries import LIBRARY_CHECKS, Needs
from protocol.errors import RadioError

DAY = datetime(2026, 11, 22, tzinfo=timezone.utc)


@pytest.fixture
def host(tmp_path):
    return Host(root=tmp_path, runs=tmp_path / "runs", now=lambda: DAY, synchronised=lambda: True)


def found(name, subject, checks=HOST_CHECKS):
    (check,) = [check for check in checks if check.name == name]
    return check.examine("host", subject)


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root / path


@pytest.mark.parametrize(
    ("now", "synchronised", "verdict", "told"),
    [
        (DAY, True, "pass", "2026-11-22 00:00:00 UTC, synchronised"),
        (DAY, False, "warn", "not synchronised"),
        (DAY, None, "skip", "does not say"),
        (datetime(1970, 1, 3, tzinfo=timezone.utc), True, "fail", "1970-01-03 00:00:00 UTC: was never set"),
    ],
)
def test_a_clock_that_nobody_keeps_is_found(host, now, synchronised, verdict, told):
    seen = found("clock", dataclasses.replace(host, now=lambda: now, synchronised=lambda: synchronised))
    assert seen.verdict == verdict
    assert told in seen.measured
    assert seen.mend == ("" if verdict in ("pass", "skip") else "sudo timedatectl set-ntp true")


def test_the_kernel_is_asked_whether_the_clock_is_kept():
    assert clock_is_synchronised() in (True, False, None)


@pytest.mark.parametrize(("free_gb", "verdict"), [(60.0, "pass"), (3.0, "warn"), (0.5, "fail")])
def test_a_full_disk_is_found(host, monkeypatch, free_gb, verdict):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, int(free_gb * 1e9)))
    seen = found("disk", host)
    assert (seen.verdict, seen.value, seen.unit) == (verdict, free_gb, "GB")


def test_a_directory_that_cannot_be_written_is_found(host, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    seen = found("disk", host)
    assert (seen.verdict, seen.mend) == ("fail", f"sudo chown $USER {host.root}")


@pytest.mark.parametrize(("free_kb", "verdict"), [(8_000_000, "pass"), (1_500_000, "warn"), (400_000, "fail")])
def test_too_little_memory_is_found(host, free_kb, verdict):
    write(host.root, "proc/meminfo", f"MemTotal:  9000000 kB\nMemAvailable:    {free_kb} kB\n")
    assert found("memory", host).verdict == verdict


def test_keys_that_others_may_read_are_found(host, tmp_path):
    assert found("keys", host).verdict == "skip"
    host = dataclasses.replace(host, keys=tmp_path / "keys")
    assert found("keys", host).verdict == "fail"
    path = write(tmp_path, "keys/edge-1.key", "secret")
    path.chmod(0o640)
    seen = found("keys", host)
    assert (seen.verdict, seen.measured, seen.mend) == ("fail", "others may read edge-1.key 640", f"chmod 600 {path}")
    path.chmod(0o600)
    assert found("keys", host).verdict == "pass"


MODEL = ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")


@pytest.mark.parametrize(
    ("files", "verdict", "told"),
    [
        ([], "skip", "not a Jetson"),
        ([MODEL], "fail", "no release"),
        ([MODEL, ("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1")], "fail", "R35: older than JetPack 6"),
        ([MODEL, ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3")], "fail", "R36: no GPU device"),
        ([MODEL, ("etc/nv_tegra_release", "# R36"), ("dev/nvhost-gpu", "")], "pass", "GPU at"),
    ],
)
def test_a_jetson_without_its_gpu_is_found(host, files, verdict, told):
    for path, text in files:
        write(host.root, path, text)
    seen = found("jetson", host)
    assert seen.verdict == verdict
    assert told in seen.measured
    assert bool(seen.mend) == (verdict == "fail")


def test_a_gpu_that_is_not_ours_to_use_is_found(host, monkeypatch):
    for path, text in (MODEL, ("etc/nv_tegra_release", "# R36"), ("dev/nvgpu/igpu0/ctrl", "")):
        write(host.root, path, text)
    monkeypatch.setattr(os, "access", lambda path, _: "igpu0" not in str(path))
    seen = found("jetson", host)
    assert (seen.verdict, seen.mend) == ("fail", "sudo usermod -aG video $USER")


@pytest.mark.parametrize(("mode", "verdict"), [("0000", "pass"), ("0001", "warn"), (None, "skip")])
def test_a_saving_jetson_is_found(host, mode, verdict):
    write(host.root, *MODEL)
    if mode is not None:
        write(host.root, "var/lib/nvpmodel/status", f"pmode:{mode} fmode:quiet")
    assert found("power-mode", host).verdict == verdict


@pytest.mark.parametrize(
    ("versions", "told", "mend"),
    [
        ({"pylibiio": "1.0", "pyadi-iio": "0.0.21"}, "pylibiio 1.0 is installed", 'pip install "airtune[pluto]"'),
        ({"pylibiio": "0.25", "pyadi-iio": None}, "pyadi-iio missing", 'pip install "airtune[pluto]"'),
    ],
)
def test_versions_that_do_not_go_together_are_found(monkeypatch, versions, told, mend):
    monkeypatch.setattr(library_checks.libraries, "installed_versions", lambda: versions)
    seen = found("versions", Needs(plutos=True), LIBRARY_CHECKS)
    assert (seen.verdict, seen.mend) == ("fail", mend)
    assert told in seen.measured
    assert found("versions", Needs(plutos=False), LIBRARY_CHECKS).verdict == "skip"


def test_a_missing_gnu_radio_is_found(monkeypatch, tmp_path):
    place = tmp_path / "gnuradio"
    place.mkdir()
    spec = namedtuple("spec", "submodule_search_locations")([str(place)])
    needs = Needs(plutos=True, gr_iio=True, gnu_radio=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert found("gnu-radio", needs, LIBRARY_CHECKS).measured == "GNU Radio is missing"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert found("gnu-radio", needs, LIBRARY_CHECKS).verdict == "fail"
    (place / "iio").mkdir()
    assert found("gnu-radio", needs, LIBRARY_CHECKS).verdict == "pass"
    assert found("gnu-radio", Needs(plutos=False), LIBRARY_CHECKS).verdict == "skip"


def test_an_error_in_a_check_is_a_failure_in_its_own_words():
    def look(_):
        raise RadioError("it does not answer")

    seen = Check("some", "it matters", "mend it", look).examine("a", None)
    assert seen == Finding("some", "a", "fail", "it does not answer", "it matters", "mend it")
    assert Check("some", "", "mend it", look, "mend that").examine("a", None).mend == "mend that"
    assert Check("some", "", "mend it", lambda _: Seen("warn", "", mend="so")).examine("a", None).mend == "so"


def test_the_worst_finding_counts_and_skipped_ones_do_not():
    def findings(*verdicts):
        return [Finding("c", "s", verdict, "", "", "") for verdict in verdicts]

    assert worst([]) == "pass"
    assert worst(findings("pass", "skip")) == "skip"
    assert worst(findings("skip", "warn", "pass")) == "warn"
    assert worst(findings("warn", "fail", "pass")) == "fail"


def test_paths_of_the_real_machine_are_looked_at_by_default():
    assert Host().root == Path("/")
