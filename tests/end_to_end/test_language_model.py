"""Tasks other than text classification through a whole lab: the same round, other models and data."""

import csv
from pathlib import Path

import numpy as np
import torch
from labs import run_lab, tiny_experiment
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from base_station.comparison.measures import Yardstick, read_curve
from base_station.store.run_store import RunStore
from deploy.cli import main
from learning.model import build_model
from protocol.adapters import adapter_from_bytes


def write_language_model(directory: Path, tokeniser: Path) -> Path:
    """A two-layer Llama with random weights, and the tokeniser of the lab's classifier."""
    AutoTokenizer.from_pretrained(tokeniser).save_pretrained(directory)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=32, max_position_embeddings=32, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def test_a_language_model_is_trained_over_the_radio_and_told_by_its_perplexity(tmp_path, capsys):
    tiny_experiment(tmp_path)  # the table and the tokeniser
    path = write_language_model(tmp_path / "language", tmp_path / "model")
    experiment = tiny_experiment(
        tmp_path,
        model={"path": str(path), "task": "language-modelling", "lora_targets": ["q_proj", "v_proj"]},
        tsfa={"V": 1e6}, training={"local_steps": 6, "learning_rate": 0.05}, radio={"driver": "abstract"},
    )  # fmt: skip
    summary, progress = run_lab(experiment, tmp_path / "run")
    assert 20.0 < summary["final_perplexity"] < summary["initial_perplexity"] < 120.0
    assert f"language  perplexity {summary['final_perplexity']:.2f} on test texts" in progress.closing
    assert [round_.macro_f1 for round_ in progress.rounds] == [None, None]
    with RunStore.read(tmp_path / "run") as store:
        np.testing.assert_allclose(np.exp(store.fact("final_loss")), summary["final_perplexity"])
        adapter = adapter_from_bytes(store.last_committed()[2])[0]
        losses = [round_.loss for round_ in store.rounds()]
    html = (tmp_path / "run/report.html").read_text()
    assert "Test perplexity" in html
    assert "macro-F1" not in html
    with (tmp_path / "run/report_data/perplexity.csv").open() as stream:
        drawn = [float(row["perplexity"]) for row in csv.DictReader(stream)]
    np.testing.assert_allclose(drawn, [summary["initial_perplexity"], *np.exp(losses)])
    assert read_curve(tmp_path / "run").values(Yardstick(None, None))["perplexity"] == summary["final_perplexity"]
    assert main(["runs", "export", str(tmp_path / "run"), "--format", "peft", "--out", str(tmp_path / "out")]) == 0
    model = build_model(experiment, 1)
    model.set_adapter(adapter)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(path), str(tmp_path / "out")).eval()
    tokens = torch.tensor([[5, 7, 9, 11, 13]])
    with torch.inference_mode():
        torch.testing.assert_close(
            model.logits(tokens, torch.ones_like(tokens)), loaded(tokens).logits, rtol=0, atol=1e-5
        )
