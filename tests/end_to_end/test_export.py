"""What leaves a run is of use elsewhere."""

import pytest
import torch
from labs import run_lab, tiny_experiment
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from base_station.store.run_store import RunStore
from deploy.cli import main
from learning.model import build_model
from protocol.adapters import adapter_from_bytes


@pytest.mark.parametrize("aggregation", ["separate", "exact-fold"])
def test_the_adapter_of_a_run_is_an_ordinary_peft_checkpoint(tmp_path, capsys, aggregation):
    experiment = tiny_experiment(
        tmp_path, experiment={"rounds": 1}, radio={"driver": "abstract"}, training={"aggregation": aggregation}
    )
    run_lab(experiment, tmp_path / "run")
    code = main(["runs", "export", str(tmp_path / "run"), "--format", "peft", "--out", str(tmp_path / "adapter")])
    if aggregation == "exact-fold":
        assert code == 12
        assert "changed the frozen weights too" in capsys.readouterr().err
        return
    assert code == 0
    model = build_model(experiment, classes=3)
    with RunStore.read(tmp_path / "run") as store:
        model.set_adapter(adapter_from_bytes(store.last_committed()[2])[0])
    base = AutoModelForSequenceClassification.from_pretrained(model.directory, num_labels=3)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    tokens = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 6, 5, 3]])
    with torch.inference_mode():
        ours = model.logits(tokens, torch.ones_like(tokens))
        theirs = loaded(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    assert ours.abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-6)
