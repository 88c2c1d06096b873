import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

from learning.model import build_model
from learning.peft_checkpoint import HEAD, write_peft_checkpoint
from protocol.experiment_file import experiment_from_dict


def test_with_mean_pooling_encoder_and_head_are_saved_apart(tmp_path):
    members = [{"name": "a", "mean_snr_db": 10.0}]
    experiment = experiment_from_dict({"experiment": {"name": "x"}, "clients": {"members": members}}, "x")
    model = build_model(experiment, classes=20)
    rng = np.random.default_rng(1)
    adapter = {n: v + 0.05 * rng.standard_normal(v.shape).astype(np.float32) for n, v in model.get_adapter().items()}
    model.set_adapter(adapter)
    assert len(write_peft_checkpoint(adapter, experiment.model, tmp_path)) == 3
    encoder = PeftModel.from_pretrained(AutoModel.from_pretrained(model.directory), str(tmp_path)).eval()
    head = load_file(tmp_path / HEAD)
    tokens = torch.tensor([[101, 2054, 2003, 1037, 102], [101, 3000, 2014, 0, 0]])
    mask = (tokens != 0).long()
    with torch.inference_mode():
        states = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[:, :, None]
        theirs = states.sum(1) / mask.sum(1, keepdim=True) @ head["weight"].T + head["bias"]
        ours = model.logits(tokens, mask)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)
