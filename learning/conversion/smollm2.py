"""SmolLM2 out of a GGUF file: weights expanded to float32, and the tokeniser, as a Hugging Face directory."""

from __future__ import annotations

from pathlib import Path

import torch


def convert(source: Path, target: Path) -> None:
    """Write config, weights and tokeniser of the file ``source`` to the directory ``target``.

    Raises ImportError without ``gguf``; what transformers raises if the file is no model.
    """
    import gguf  # noqa: F401  # transformers reads the file with it, and says less clearly when it is missing
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = {"gguf_file": source.name, "local_files_only": True}
    AutoTokenizer.from_pretrained(str(source.parent), **place).save_pretrained(target)
    model = AutoModelForCausalLM.from_pretrained(str(source.parent), dtype=torch.float32, **place)
    # The expanded model is an ordinary one, but remembers that it came quantised and would refuse to be saved.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    model.save_pretrained(target)
