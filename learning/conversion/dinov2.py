"""DINOv2-small out of an ONNX graph: the backbone's tensors under the names of Hugging Face's checkpoints.

The graph's exporter kept the names of vectors and convolutions. Each linear layer's weight became a nameless operand,
transposed, of a MatMul called after the layer; the position embeddings were cut in two, the class token's and the
patches'.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from protocol.errors import DataError

_BACKBONE = "backbone."
_WIDTH, _LAYERS, _HEADS, _PATCH_PX, _IMAGE_PX = 384, 12, 6, 14, 518
_TENSORS = 222
"""Tensors of a backbone of 12 layers, all but the mask token."""
_MEAN, _DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Of ImageNet's red, green and blue, which DINOv2 was trained with."""

Tensor = NDArray[np.float32]


def convert(source: Path, target: Path) -> None:
    """Write config, preprocessor and weights of the graph ``source`` to the directory ``target``.

    Raises DataError if the graph holds other tensors, ImportError without ``onnx``.
    """
    tensors = _tensors(source)
    if len(tensors) != _TENSORS:
        raise DataError(f"{source}: {len(tensors)} tensors of a DINOv2-small backbone; {_TENSORS} were expected")
    tensors["embeddings.mask_token"] = np.zeros((1, _WIDTH), np.float32)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": _WIDTH, "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS, "mlp_ratio": 4, "patch_size": _PATCH_PX, "image_size": _IMAGE_PX,
        "layer_norm_eps": 1e-6, "qkv_bias": True, "dtype": "float32",
    }  # fmt: skip
    _write(target / "config.json", config)
    _write(target / "preprocessor_config.json", {"image_mean": _MEAN, "image_std": _DEVIATION})


def _tensors(source: Path) -> dict[str, Tensor]:
    """Tensors by their names in a checkpoint."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(str(source)).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}

    def value(name: str) -> Tensor:
        return np.ascontiguousarray(to_array(stored[name]), dtype=np.float32)

    found = {name.removeprefix(_BACKBONE): value(name) for name in stored if name.startswith(_BACKBONE)}
    positions: dict[str, Tensor] = {}
    for node in graph.node:
        for name in (i for i in node.input if i in stored and not i.startswith(_BACKBONE)):
            layer, _, operation = node.name.removeprefix(f"/{_BACKBONE[:-1]}/").rpartition("/")
            if operation == "MatMul" and node.name.startswith("/backbone/encoder/"):
                found[layer.replace("/", ".") + ".weight"] = np.ascontiguousarray(value(name).T)
            elif layer == "embeddings" and stored[name].dims[-1:] == [_WIDTH]:
                positions[node.op_type] = value(name)
    found["embeddings.position_embeddings"] = np.concatenate([positions["Concat"], positions["Reshape"]], axis=1)
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
