"""Models converted from other formats: the real ones against figures taken elsewhere, and the cache around any."""

import multiprocessing
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from learning import assets, conversion
from learning.assets import Foreign, Shipped, model_directory
from protocol.configuration import ModelTable
from protocol.errors import DataError, MissingPartError, StorageError

BACKBONE = [-0.3815213740, -0.1749249399, 1.6435922384, -3.9140937328, -0.5721258521, 0.0949670896]
"""First values of the class token's last state, by ONNX Runtime 1.31.1 on the package's graph."""
PATCHES = [-0.0586084314, 0.8027828336, 0.2957897186, -3.9800927639, -0.1788574159, -0.8149647117]
"""The same of the patches' mean."""


def shipped(source: str) -> Path:
    """Directory of a shipped model; the test is skipped where it is not installed."""
    try:
        return model_directory(ModelTable(source=source))
    except MissingPartError as error:
        pytest.skip(str(error))


def test_the_vit_computes_what_onnx_runtime_computes_with_the_original_graph():
    model, loading = AutoModel.from_pretrained(shipped("dinov2-small"), output_loading_info=True)
    assert not any(loading.values())
    image = np.random.default_rng(7).standard_normal((1, 3, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        states = model.eval()(pixel_values=torch.from_numpy(image)).last_hidden_state[0].numpy()
    np.testing.assert_allclose(states[0, :6], BACKBONE, atol=2e-4)
    np.testing.assert_allclose(states[1:].mean(axis=0)[:6], PATCHES, atol=2e-4)


def test_the_language_model_has_all_its_weights_and_knows_something():
    directory = shipped("smollm2-135m")
    model, loading = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    assert not any(loading.values())
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    tokeniser = AutoTokenizer.from_pretrained(directory)
    prompt = tokeniser("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        following = model.eval()(**prompt).logits[0, -1].argmax()
    assert tokeniser.decode(following).strip() == "Paris"


@pytest.fixture
def converter(monkeypatch, tmp_path) -> types.ModuleType:
    """A model called ``toy`` whose package is this test, and its converter."""
    module = types.ModuleType("toy_converter")
    module.convert = lambda source, target: (target / "config.json").write_text(source.read_text())
    monkeypatch.setitem(sys.modules, "toy_converter", module)
    (tmp_path / "toy.file").write_text("{}")
    monkeypatch.setattr(conversion, "locate", lambda shipped: tmp_path / shipped.path)
    monkeypatch.setattr(conversion, "store", lambda: tmp_path / "store")
    monkeypatch.setitem(assets.CONVERTED, "toy", Foreign(Shipped("none", "toy.file"), "toy_converter"))
    return module


def test_a_model_is_converted_once(converter, tmp_path):
    first = model_directory(ModelTable(source="toy"))
    converter.convert = None
    assert model_directory(ModelTable(source="toy")) == first == tmp_path / "store/toy"
    assert (first / "config.json").read_text() == "{}"


def test_a_conversion_that_breaks_leaves_nothing_and_says_why(converter, tmp_path):
    def breaks(source: Path, target: Path) -> None:
        (target / "half").write_text("x")
        raise ValueError("bad magic\nand more")

    converter.convert = breaks
    (tmp_path / "store/.toy.old.unfinished").mkdir(parents=True)
    with pytest.raises(DataError, match=r"toy\.file: cannot be converted: bad magic$"):
        model_directory(ModelTable(source="toy"))
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".toy.lock"]


def test_what_is_missing_or_cannot_be_written_is_named(converter, tmp_path):
    def needs_more(source: Path, target: Path) -> None:
        import no_such_library  # noqa: F401

    converter.convert = needs_more
    with pytest.raises(MissingPartError, match="needs the package 'no_such_library'; run `make setup EXTRA=models`"):
        model_directory(ModelTable(source="toy"))
    (tmp_path / "store/.toy.lock").unlink()
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match="toy: the converted model cannot be kept"):
        model_directory(ModelTable(source="toy"))


def test_two_processes_convert_once_between_them(converter, tmp_path):
    fork = multiprocessing.get_context("fork")
    entered, go = fork.Semaphore(0), fork.Event()

    def waits(source: Path, target: Path) -> None:
        entered.release()
        assert go.wait(30)
        (target / "config.json").write_text("{}")

    converter.convert = waits
    both = [fork.Process(target=conversion.converted_directory, args=("toy",)) for _ in range(2)]
    for process in both:
        process.start()
    assert entered.acquire(timeout=30)
    assert not entered.acquire(timeout=0.3), "both convert"
    go.set()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert not entered.acquire(block=False)


def test_a_graph_of_something_else_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the package 'onnx' is not installed; run `make setup EXTRA=models`")
    from learning.conversion.dinov2 import convert

    numbers = [onnx.numpy_helper.from_array(np.zeros((1, 1, 384), np.float32), name) for name in ("a", "b")]
    nodes = [onnx.helper.make_node(kind, [name], ["o"], name=f"/backbone/embeddings/{kind}_1")
             for kind, name in (("Concat", "a"), ("Reshape", "b"))]  # fmt: skip
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], numbers)), tmp_path / "g.onnx")
    with pytest.raises(DataError, match="1 tensors of a DINOv2-small backbone; 222 were expected"):
        convert(tmp_path / "g.onnx", tmp_path)


def test_every_tensor_of_the_vit_was_found():
    tensors = load_file(shipped("dinov2-small") / "model.safetensors")
    assert sum(t.size for t in tensors.values()) == 22_056_576
    assert all(np.any(t) for name, t in tensors.items() if name != "embeddings.mask_token")
