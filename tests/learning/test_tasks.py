"""Tasks on networks small enough to check by hand: a random Llama and a random vision transformer."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel
from torch.nn import functional

from learning.evaluation import evaluate
from learning.model import AdaptedModel, build_model, configure_torch
from learning.peft_checkpoint import write_peft_checkpoint
from learning.tasks import TASKS
from learning.tokens import Tokens
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError, DataError
from protocol.experiment_file import experiment_from_dict

LANGUAGE = TASKS["language-modelling"]
TEXTS = ([3, 5, 7, 9], [4, 6], [8, 2, 4, 6, 3, 5], [7])


def experiment(data: dict, **model: object) -> Experiment:
    members = [{"name": "ann", "distance_m": 10.0}]
    return experiment_from_dict(
        {"experiment": {"name": "t"}, "clients": {"members": members}, "data": data,
         "model": {"source": "local", "pooling": "native", "lora_rank": 2, **model}}, "test"
    )  # fmt: skip


def tokens(*texts: list[int]) -> Tokens:
    starts = np.cumsum([0, *map(len, texts)])
    return Tokens(np.concatenate([np.array(t, np.int32) for t in texts]), starts.astype(np.int64), pad_token=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    configure_torch(1)


@pytest.fixture(scope="module")
def saved_llama(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def language(saved_llama) -> AdaptedModel:
    return build_model(language_experiment(saved_llama), 1)


def language_experiment(directory: Path) -> Experiment:
    data = {"source": "vader-tweets", "partition": "iid"}
    model = {"path": str(directory), "task": "language-modelling", "lora_targets": ["q_proj", "v_proj"]}
    return experiment(data, **model)


@pytest.fixture(scope="module")
def saved_vit(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(directory)
    return directory


def image_experiment(directory: Path, **model: object) -> Experiment:
    vision = {"path": str(directory), "task": "image-classification", "lora_targets": ["q_proj", "v_proj"]}
    return experiment({"source": "fashion-mnist"}, **{**vision, "image_size_px": 28, **model})


def varied(model: AdaptedModel) -> dict[str, np.ndarray]:
    """An adapter that changes every logit."""
    rng = np.random.default_rng(1)
    return {n: v + 0.3 * rng.standard_normal(v.shape).astype(np.float32) for n, v in model.get_adapter().items()}


def test_the_loss_of_a_language_model_is_hugging_face_s(language):
    numbers, attended = batch = tokens(*TEXTS[:3]).batch(np.arange(3))
    labels = numbers.masked_fill(attended == 0, -100)
    with torch.inference_mode():
        theirs = language.network.base_model.model.network(numbers, attention_mask=attended, labels=labels).loss
        ours = language.loss(batch, torch.zeros(3, dtype=torch.int64))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_texts_of_one_token_teach_nothing_and_break_nothing(language):
    batch = tokens([7], [3]).batch(np.arange(2))
    assert float(language.loss(batch, torch.zeros(2, dtype=torch.int64)).detach()) == 0.0
    with_it = evaluate(language, tokens(*TEXTS), np.zeros(4, np.int64), 1)
    assert with_it.total.tolist() == [3 + 1 + 5]
    nothing = evaluate(language, tokens([7]), np.zeros(1, np.int64), 1)
    assert (nothing.loss, nothing.accuracy, nothing.interval) == (0.0, 0.0, (0.0, 1.0))


def test_a_language_model_is_judged_per_token_whatever_the_batches(language):
    """Against the sums over texts that are evaluated one by one, without padding."""
    losses, right, predicted = 0.0, 0, 0
    with torch.inference_mode():
        for text in TEXTS:
            numbers = torch.tensor([text])
            logits = language.logits(numbers, torch.ones_like(numbers))[0, :-1]
            losses += float(functional.cross_entropy(logits, numbers[0, 1:], reduction="sum"))
            right += int((logits.argmax(-1) == numbers[0, 1:]).sum())
            predicted += len(text) - 1
    for repeats in (1, 5):  # the second needs three batches
        result = evaluate(language, tokens(*TEXTS * repeats), np.zeros(4 * repeats, np.int64), 1)
        assert result.loss == pytest.approx(losses / predicted, rel=1e-5)
        assert result.accuracy == pytest.approx(right / predicted)
        assert result.total.tolist() == [predicted * repeats]
        assert result.macro_f1 is None


def test_a_language_model_has_no_head_to_train(language):
    assert all(".lora_" in name for name in language.get_adapter())


def test_the_language_model_s_adapter_is_a_peft_checkpoint(language, saved_llama, tmp_path):
    adapter = varied(language)
    language.set_adapter(adapter)
    write_peft_checkpoint(adapter, language_experiment(saved_llama).model, tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(saved_llama)
    loaded = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    assert loaded.peft_config["default"].task_type == "CAUSAL_LM"
    numbers, attended = tokens(*TEXTS).batch(np.arange(4))
    with torch.inference_mode():
        ours, theirs = language.logits(numbers, attended), loaded(input_ids=numbers, attention_mask=attended).logits
        bare = loaded.get_base_model()
    assert isinstance(bare, transformers.LlamaForCausalLM)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)


def test_the_vision_model_s_adapter_is_a_peft_checkpoint_with_its_head(saved_vit, tmp_path):
    table = image_experiment(saved_vit)
    model = build_model(table, 10)
    adapter = varied(model)
    model.set_adapter(adapter)
    write_peft_checkpoint(adapter, table.model, tmp_path)
    base = transformers.AutoModelForImageClassification.from_pretrained(saved_vit, num_labels=10)
    loaded = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    (pixels,) = batch = (torch.from_numpy(np.random.default_rng(2).random((2, 3, 28, 28), np.float32)),)
    with torch.inference_mode():
        ours, theirs = model.logits(*batch), loaded(pixel_values=pixels).logits
    assert ours.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_and_tokens_pass_in_either_precision(saved_vit, saved_llama, precision):
    vision = build_model(image_experiment(saved_vit, precision=precision), 10)
    pixels = np.random.default_rng(3).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    inputs = vision.task.encode(pixels, vision.directory, image_experiment(saved_vit).model)
    assert vision.logits(*inputs.batch(np.arange(3))).dtype == torch.float32
    loss = vision.loss(inputs.batch(np.arange(3)), torch.tensor([0, 4, 9]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(np.log(10), abs=0.5)


def test_images_the_model_would_cut_or_cannot_take_are_refused(saved_vit, tmp_path):
    with pytest.raises(ConfigurationError, match="30 is no multiple of 14, the model's patches"):
        build_model(image_experiment(saved_vit, image_size_px=30), 10)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=28, patch_size=14
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="the model takes no images of 56 px"):
        build_model(image_experiment(tmp_path, image_size_px=56), 10)


def test_a_model_of_another_kind_is_refused_in_one_line(saved_vit, saved_llama):
    with pytest.raises(DataError, match="cannot be loaded") as refusal:
        build_model(image_experiment(saved_llama), 10)
    assert "\n" not in str(refusal.value)
