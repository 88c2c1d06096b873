"""``airtune update``: budget, fidelity, energies, and one line with its own exit code for what is refused."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from adapter_support import b_only, equal, random_base, random_change

from deploy.commands import update
from edge_client.soft.compression import COMPRESSORS
from protocol.adapters import adapter_to_bytes, add, lora_modules, read_adapter
from protocol.errors import AirtuneError, BudgetError, ConfigurationError, DataError, StorageError, UpdateFileError
from protocol.schemes import LAYOUT_OF

BASE = random_base()
DELTA = random_change(BASE)
MINIMUM_BITS = 280
AMPLE_BITS = 10**6


@pytest.fixture
def files(tmp_path):
    """Folder with G (base, alpha 8 at rank 4: s = 2), T (trained) and another base H."""
    for name, adapter in {"G": BASE, "T": add(BASE, DELTA), "H": random_base(seed=5)}.items():
        (tmp_path / name).write_bytes(adapter_to_bytes(adapter, {"lora_alpha": "8"}))
    return tmp_path


def airtune(*words):
    parser = argparse.ArgumentParser()
    update.add_parser(parser.add_subparsers(dest="command"))
    return update.run(parser.parse_args(["update", *map(str, words)]))


def encode(files, budget=AMPLE_BITS, *options, out="U"):
    words = ("--base", files / "G", "--trained", files / "T", "--budget-bits", budget, "--out", files / out)
    return airtune("encode", *words, *options)


def decode(files, base="G"):
    return airtune("decode", files / "U", "--base", files / base, "--out", files / "R")


def document(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def info(files, capsys):
    capsys.readouterr()
    assert airtune("info", files / "U", "--json") == 0
    return document(capsys)


def refused(files, error, action, *, absent):
    before = sorted(p.name for p in files.iterdir())
    with pytest.raises(error) as refusal:
        action()
    assert "\n" not in str(refusal.value)
    assert not (files / absent).exists()
    assert sorted(p.name for p in files.iterdir()) == before
    return str(refusal.value)


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
@pytest.mark.parametrize("budget", [280, 281, 700, 1999, 5003, 20_000, AMPLE_BITS])
def test_a_file_never_exceeds_its_budget(files, bits, budget):
    encode(files, budget, "--quant-bits", bits)
    assert (files / "U").stat().st_size <= budget // 8


def test_an_ample_budget_at_32_bits_returns_the_trained_tensors(files):
    encode(files, AMPLE_BITS, "--quant-bits", 32)
    assert decode(files) == 0
    got, metadata = read_adapter(files / "R")
    assert metadata == {"lora_alpha": "8"}
    for name, value in add(BASE, DELTA).items():
        assert np.max(np.abs(got[name] - value)) <= 2.0**-23 * np.max(np.abs(value))


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_kept_energy_equals_the_curve(files, capsys, bits):
    encode(files, AMPLE_BITS, "--quant-bits", bits, "--json")
    whole = document(capsys)["curve"]
    for budget, unsent in whole[1:]:
        encode(files, budget, "--quant-bits", bits)
        said = info(files, capsys)
        assert said["bits"] == budget == 8 * (files / "U").stat().st_size
        assert said["curve"][0] == [0, said["total_energy"]]
        assert said["curve"][-1] == [budget, said["total_energy"] - said["kept_energy"]]
        assert said["curve"][-1][1] == pytest.approx(unsent, rel=1e-5, abs=1e-5 * said["total_energy"])
        assert np.all(np.diff(said["curve"], axis=0)[:, 0] > 0)
        assert np.all(np.diff(said["curve"], axis=0)[:, 1] <= 0)
        assert len(said["curve"]) == said["components"] + 1 <= 64


def test_the_kept_energy_is_what_decoding_measures(files, capsys):
    encode(files, 4000, "--quant-bits", 32)
    said = info(files, capsys)
    decode(files)
    got, _ = read_adapter(files / "R")
    trained = add(BASE, DELTA)
    left = {n: trained[n] - got[n] for n in BASE}
    gone = {n: got[n] - BASE[n] for n in BASE}
    for name in BASE:  # a value either moved whole or stayed whole
        assert np.max(np.minimum(np.abs(left[name]), np.abs(gone[name]))) < 1e-6
    assert 0 < said["kept_energy"] < said["total_energy"]


def test_alpha_over_rank_scales_the_energies_by_its_square_and_is_one_by_default(files, capsys):
    totals = []
    for options in ((), ("--alpha", 8), ("--alpha", 4)):
        encode(files, AMPLE_BITS, *options)
        totals.append(info(files, capsys)["total_energy"])
    for name, adapter in {"G": BASE, "T": add(BASE, DELTA)}.items():
        (files / name).write_bytes(adapter_to_bytes(adapter))
    encode(files)
    plain = info(files, capsys)["total_energy"]
    assert totals == pytest.approx([4 * plain, 4 * plain, plain])


def test_a_trained_adapter_with_the_same_a_is_sent_in_half_the_bits(files, capsys):
    encode(files, AMPLE_BITS)
    whole = info(files, capsys)["bits"]
    (files / "T").write_bytes(adapter_to_bytes(add(BASE, b_only(DELTA))))
    encode(files, AMPLE_BITS, "--quant-bits", 32)
    assert info(files, capsys)["bits"] < 4 * whole
    decode(files)
    got, _ = read_adapter(files / "R")
    assert all(np.allclose(got[n], BASE[n] + b_only(DELTA)[n], atol=1e-6) for n in BASE)


@pytest.mark.parametrize("scheme", sorted(COMPRESSORS))
def test_every_scheme_writes_a_file_that_decodes_by_itself(files, capsys, scheme):
    encode(files, AMPLE_BITS, "--compression", scheme, "--quant-bits", 32, "--json")
    encoded = document(capsys)
    said = info(files, capsys)
    assert said["layout"] == LAYOUT_OF[scheme]
    assert said["bits"] == encoded["bits"] == 8 * (files / "U").stat().st_size
    assert said["kept_energy"] == pytest.approx(encoded["kept_energy"], rel=1e-4)
    capsys.readouterr()
    assert airtune("decode", files / "U", "--base", files / "G", "--out", files / "R", "--json") == 0
    assert document(capsys)["dropped_energy"] == pytest.approx(0.0, abs=1e-8)
    got, trained = read_adapter(files / "R")[0], add(BASE, DELTA)
    for m in lora_modules(BASE):
        assert got[m.b_name] @ got[m.a_name] == pytest.approx(trained[m.b_name] @ trained[m.a_name], abs=2e-5)
    for budget in (300, 2000, 6000):
        encode(files, budget, "--compression", scheme)
        assert (files / "U").stat().st_size <= budget // 8
        assert info(files, capsys)["curve"][-1][0] in (0, 8 * (files / "U").stat().st_size)


def test_an_unchanged_adapter_gives_an_empty_update(files, capsys):
    (files / "T").write_bytes((files / "G").read_bytes())
    encode(files)
    said = info(files, capsys)
    assert (said["bits"], said["components"], said["total_energy"], said["kept_energy"]) == (MINIMUM_BITS, 0, 0.0, 0.0)
    decode(files)
    assert equal(read_adapter(files / "R")[0], BASE)


def test_the_seed_decides_the_rounding(files):
    for out, seed in (("U1", 1), ("U2", 1), ("U3", 2)):
        encode(files, AMPLE_BITS, "--seed", seed, out=out)
    assert (files / "U1").read_bytes() == (files / "U2").read_bytes() != (files / "U3").read_bytes()


def test_a_budget_below_the_header_is_refused_with_the_minimum_named(files):
    for budget in (MINIMUM_BITS - 1, 0, -5):
        message = refused(files, BudgetError, lambda budget=budget: encode(files, budget), absent="U")
        assert f"at least {MINIMUM_BITS} bits" in message


def test_another_base_is_refused(files):
    encode(files)
    assert "another base" in refused(files, UpdateFileError, lambda: decode(files, "H"), absent="R")


def test_damaged_cut_off_and_foreign_files_are_refused(files):
    encode(files)
    good = (files / "U").read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 16
    for bad in (bytes(flipped), good[:-1], good[:10], b"", good + b"\0", (files / "G").read_bytes(), b"PK\3\4" * 99):
        (files / "U").write_bytes(bad)
        assert str(files / "U") in refused(files, UpdateFileError, lambda: decode(files), absent="R")
        refused(files, UpdateFileError, lambda: airtune("info", files / "U", "--json"), absent="R")


def test_an_existing_output_survives_a_refusal(files):
    encode(files)
    (files / "R").write_bytes(b"precious")
    with pytest.raises(UpdateFileError):
        decode(files, "H")
    assert (files / "R").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        (b"not safetensors", "not a safetensors file"),
        (adapter_to_bytes(random_base(rank=2)), "does not fit"),
        (adapter_to_bytes({n: v for n, v in BASE.items() if n != "norm.weight"}), "'norm.weight' is missing"),
        (adapter_to_bytes({**BASE, "norm.weight": np.full(6, np.nan, np.float32)}), "NaN"),
        (adapter_to_bytes(BASE, {"lora_alpha": "many"}), "not a number"),
        (safetensors.numpy.save({"x": np.zeros(3, np.int8)}), "is I8"),
    ],
)
def test_unfit_trained_files_are_refused(files, trained, message):
    (files / "T").write_bytes(trained)
    assert message in refused(files, DataError, lambda: encode(files), absent="U")


def test_files_without_lora_tensors_and_missing_files_are_refused(files):
    for name in ("G", "T"):
        (files / name).write_bytes(adapter_to_bytes({"x": np.zeros((2, 2), np.float32)}))
    assert "no LoRA tensors" in refused(files, DataError, lambda: encode(files), absent="U")
    (files / "T").unlink()
    assert "cannot be read" in refused(files, DataError, lambda: encode(files), absent="U")
    (files / "G").write_bytes(adapter_to_bytes(BASE))
    assert "cannot be read" in refused(files, UpdateFileError, lambda: decode(files), absent="R")


@pytest.mark.parametrize("alpha", ["0", "-1", "nan", "inf"])
def test_an_alpha_that_makes_no_sense_is_refused(files, alpha):
    refused(files, ConfigurationError, lambda: encode(files, AMPLE_BITS, "--alpha", alpha), absent="U")


def test_an_output_that_cannot_be_written_is_refused(files):
    (files / "U").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        encode(files)
    assert not any((files / "U").iterdir())


def test_each_cause_has_its_own_exit_code():
    causes = (AirtuneError, ConfigurationError, DataError, UpdateFileError, BudgetError, StorageError)
    assert len({cause.exit_code for cause in causes}) == len(causes)


def test_info_for_people_names_every_figure(files, capsys):
    encode(files)
    capsys.readouterr()
    airtune("info", files / "U")
    said = capsys.readouterr().out
    assert all(word in said for word in ("bits", "components", "total_energy", "kept_energy", "stays unsent"))


def test_the_command_needs_no_torch():
    code = "import sys; import deploy.commands.update; sys.exit('torch' in sys.modules or 'gnuradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
