"""Adapters: reading, writing, pairing, naming by digest, and norms of their products."""

import numpy as np
import pytest
import safetensors.numpy
from adapter_support import equal, random_base, random_change
from hypothesis import given
from hypothesis import strategies as st

from protocol.adapters import (
    adapter_digest,
    adapter_from_bytes,
    adapter_to_bytes,
    add,
    lora_modules,
    read_adapter,
    shape_mismatch,
)
from protocol.errors import DataError
from protocol.factors import column_overlap, exact_energy
from protocol.update.components import Components


def dense_energy(base, delta, scaling):
    changed = {n: base[n].astype(np.float64) + delta[n] for n in base}
    total = 0.0
    for m in lora_modules(base):
        before = base[m.b_name].astype(np.float64) @ base[m.a_name].astype(np.float64)
        total += scaling**2 * np.sum((changed[m.b_name] @ changed[m.a_name] - before) ** 2)
    return total


def test_an_adapter_survives_its_file_bit_for_bit():
    base = random_base()
    back, metadata = adapter_from_bytes(adapter_to_bytes(base, {"lora_alpha": "16"}))
    assert equal(back, base)
    assert metadata == {"lora_alpha": "16"}


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=4),
    st.dictionaries(st.just("lora_alpha"), st.text(max_size=4), max_size=1),
)
def test_an_adapter_file_is_what_the_library_writes(shapes, metadata):
    adapter = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    contiguous = {name: np.ascontiguousarray(adapter[name]) for name in sorted(adapter)}
    assert adapter_to_bytes(adapter, metadata) == safetensors.numpy.save(contiguous, metadata or None)


def test_half_precision_files_are_read_as_float32():
    values = np.array([[1.5, -2.25], [0.0078125, 3.0]], dtype=np.float32)
    half = safetensors.numpy.save({"x": values.astype(np.float16)})
    bfloat = half.replace(b'"F16"', b'"BF16"').replace(
        values.astype(np.float16).tobytes(), (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    )
    grown = len(bfloat) - len(half)
    bfloat = (int.from_bytes(half[:8], "little") + grown).to_bytes(8, "little") + bfloat[8:]
    for file in (half, bfloat):
        assert np.array_equal(adapter_from_bytes(file)[0]["x"], values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e4])
def test_absurd_values_are_refused_with_the_tensor_named(bad):
    base = random_base()
    base["norm.weight"][2] = bad
    with pytest.raises(DataError, match=r"file\.bin: tensor 'norm\.weight'"):
        adapter_from_bytes(adapter_to_bytes(base), "file.bin")


@given(st.binary(max_size=200))
def test_no_bytes_but_a_safetensors_file_are_taken_for_one(data):
    with pytest.raises(DataError, match="not a safetensors file"):
        adapter_from_bytes(data)


def test_a_missing_file_and_an_integer_tensor_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_adapter(tmp_path / "none")
    with pytest.raises(DataError, match="'steps' is I64"):
        adapter_from_bytes(safetensors.numpy.save({"steps": np.zeros(2, np.int64)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: [b.pop(n) for n in list(b) if "lora" in n], "no LoRA tensors"),
        (lambda b: b.pop("encoder.query.lora_A.weight"), "'encoder.query' has no lora_A.weight"),
        (lambda b: b.update({"encoder.query.lora_A.weight": np.zeros((3, 12), np.float32)}), r"expected \(r, k\)"),
        (lambda b: b.update({"conv": np.zeros((2, 2, 2), np.float32)}), "'conv'"),
    ],
)
def test_files_that_are_no_adapters_are_refused_in_one_line(change, message):
    base = random_base()
    change(base)
    with pytest.raises(DataError, match=message) as refusal:
        Components(base, origin="G.safetensors")
    assert "\n" not in str(refusal.value)


def test_the_digest_changes_with_any_value_name_or_shape():
    base = random_base()
    digests = {adapter_digest(base)}
    for name in base:
        other = {n: v.copy() for n, v in base.items()}
        other[name].flat[0] += np.float32(1e-3)
        digests.add(adapter_digest(other))
    renamed = dict(base)
    renamed["head.bias"] = renamed.pop("classifier.bias")
    reshaped = {**base, "classifier.weight": base["classifier.weight"].reshape(7, 5)}
    digests |= {adapter_digest(renamed), adapter_digest(reshaped)}
    assert len(digests) == len(base) + 3
    assert adapter_digest(dict(reversed(base.items()))) == adapter_digest(base)


def test_a_mismatch_between_adapters_is_said_in_words():
    base = random_base()
    fewer = {n: v for n, v in base.items() if n != "classifier.bias"}
    assert shape_mismatch(base, random_base(seed=9)) is None
    assert shape_mismatch(base, fewer) == "tensor 'classifier.bias' is missing"
    assert shape_mismatch(fewer, base) == "tensor 'classifier.bias' is not in the base"
    assert "in the base (4, 12)" in shape_mismatch(base, random_base(rank=2))


@pytest.mark.parametrize("size", [1e-4, 0.1, 3.0])
def test_exact_energy_equals_the_dense_difference(size):
    base = random_base()
    delta = random_change(base, size=size)
    assert exact_energy(base, delta, 2.0) == pytest.approx(dense_energy(base, delta, 2.0), rel=1e-6)


def test_exact_energy_takes_a_scaling_per_module():
    base = random_base()
    delta = random_change(base)
    modules = lora_modules(base)
    halves = [exact_energy(base, delta, {m.name: float(m.name == one.name) for m in modules}) for one in modules]
    assert sum(halves) == pytest.approx(exact_energy(base, delta, 1.0))


def test_overlap_is_zero_for_orthogonal_and_one_for_parallel_components():
    eye = np.eye(4, 6, dtype=np.float32)
    adapter = {"m.lora_A.weight": eye, "m.lora_B.weight": np.eye(5, 4, dtype=np.float32)}
    assert column_overlap(adapter) == (0.0, 0.0)
    parallel = eye.copy()
    parallel[1] = -2.0 * parallel[0]
    mean, worst = column_overlap({**adapter, "m.lora_A.weight": parallel})
    assert (mean, worst) == (pytest.approx(0.5), pytest.approx(1.0))


def test_overlap_leaves_out_columns_that_have_not_been_trained():
    b = np.zeros((5, 3), np.float32)
    assert column_overlap({"m.lora_A.weight": np.eye(3, dtype=np.float32), "m.lora_B.weight": b}) == (0.0, 0.0)
    b[0, 0] = 1.0
    b[:, 1] = 1e-7
    assert column_overlap({"m.lora_A.weight": np.eye(3, dtype=np.float32), "m.lora_B.weight": b}) == (0.0, 0.0)


def test_every_value_belongs_to_exactly_one_component():
    base, delta = random_base(), random_change(random_base())
    components = Components(base)
    rebuilt = {n: np.full(v.shape, np.nan, np.float32) for n, v in base.items()}
    for index in range(len(components)):
        parts = components.gather(delta, index)
        assert tuple(part.size for part in parts) == components.part_sizes(index)
        components.scatter(rebuilt, index, parts)
    assert equal(rebuilt, delta)
    values = sum(sum(components.part_sizes(i)) for i in range(len(components)))
    assert values == sum(v.size for v in base.values())


def test_adding_a_change_is_one_float32_sum():
    base, delta = random_base(), random_change(random_base())
    assert all(np.array_equal(v, base[n] + delta[n]) and v.dtype == np.float32 for n, v in add(base, delta).items())
