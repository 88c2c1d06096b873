"""The shipped vision and language models learn something in a few steps on real data, and their adapters leave."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel

from learning.data import load_dataset
from learning.evaluation import Evaluation, evaluate
from learning.model import AdaptedModel, build_model, configure_torch
from learning.peft_checkpoint import write_peft_checkpoint
from learning.tasks import Inputs
from protocol.configuration import Experiment
from protocol.errors import MissingPartError
from protocol.experiment_file import load_experiment

EXAMPLES = Path(__file__).parents[2] / "examples"


def prepared(example: str, train: int, test: int) -> tuple[Experiment, AdaptedModel, list[tuple[Inputs, np.ndarray]]]:
    """Experiment, model, and inputs with labels of some training and test samples; skipped where parts are missing."""
    configure_torch(1)
    experiment = load_experiment(EXAMPLES / example)
    try:
        data = load_dataset(experiment)
        model = build_model(experiment, len(data.class_names))
    except MissingPartError as error:
        pytest.skip(str(error))
    parts = [data.train.take(np.arange(train, dtype=np.int64)), data.test.first(test)]
    inputs = [model.task.encode(part.contents, model.directory, experiment.model) for part in parts]
    return experiment, model, [(i, part.labels) for i, part in zip(inputs, parts, strict=True)]


def trained(model: AdaptedModel, inputs: Inputs, labels: np.ndarray, steps: int, size: int, rate: float) -> None:
    optimiser = torch.optim.AdamW([p for p in model.parameters.values() if p.requires_grad], lr=rate)
    for step in range(steps):
        batch = np.arange(step * size, (step + 1) * size)
        optimiser.zero_grad(set_to_none=True)
        model.loss(inputs.batch(batch), torch.from_numpy(labels[batch])).backward()
        optimiser.step()


def judged(model: AdaptedModel, part: tuple[Inputs, np.ndarray], classes: int) -> Evaluation:
    return evaluate(model, *part, classes)


def test_the_vit_learns_fashion_mnist_and_leaves_as_a_peft_checkpoint(tmp_path):
    experiment, model, (train, test) = prepared("vit-fashion-mnist.toml", 240, 100)
    before = judged(model, test, 10)
    trained(model, *train, steps=15, size=16, rate=0.002)
    after = judged(model, test, 10)
    assert before.accuracy < 0.25
    assert after.accuracy > before.accuracy + 0.2
    base = transformers.AutoModelForImageClassification.from_pretrained(model.directory, num_labels=10)
    batch = test[0].batch(np.arange(2))
    assert_same_logits(experiment, model, base, tmp_path, batch, {"pixel_values": batch[0]})


def test_the_language_model_learns_tweets_and_leaves_as_a_peft_checkpoint(tmp_path):
    experiment, model, (train, test) = prepared("smollm2-tweets.toml", 12, 16)
    before = judged(model, test, 1)
    trained(model, *train, steps=3, size=4, rate=0.002)
    after = judged(model, test, 1)
    assert 4.0 < before.loss < 7.0  # a perplexity of 50 to 1,100; a model that knows nothing has 49,152
    assert after.loss < before.loss - 0.05
    base = transformers.AutoModelForCausalLM.from_pretrained(model.directory, dtype=torch.float32)
    numbers, attended = batch = test[0].batch(np.arange(2))
    named = {"input_ids": numbers, "attention_mask": attended}
    assert_same_logits(experiment, model, base, tmp_path, batch, named)


def assert_same_logits(experiment, model, base, directory, batch, named) -> None:
    write_peft_checkpoint(model.get_adapter(), experiment.model, directory)
    loaded = PeftModel.from_pretrained(base, str(directory)).eval()
    with torch.inference_mode():
        theirs = loaded(**named).logits
        torch.testing.assert_close(model.logits(*batch), theirs, rtol=0.0, atol=1e-3)
        with loaded.disable_adapter():
            assert (loaded(**named).logits - theirs).abs().max() > 0.1
