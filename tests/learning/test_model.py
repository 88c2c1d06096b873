import itertools
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from learning.evaluation import evaluate
from learning.model import AdaptedModel, build_model, configure_torch
from learning.tokens import Tokens, tokenise
from protocol.adapters import lora_modules
from protocol.configuration import Experiment
from protocol.errors import ConfigurationError, DataError, MissingPartError
from protocol.experiment_file import experiment_from_dict

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "radio", "antenna", "engine", "wheel"]


def experiment(seed: int = 1, training: dict | None = None, **model: object) -> Experiment:
    members = [{"name": "ann", "distance_m": 10.0}]
    raw = {"experiment": {"name": "t", "seed": seed}, "clients": {"members": members}, "model": model}
    return experiment_from_dict({**raw, "training": training or {}}, "test")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    configure_torch(1)


@pytest.fixture(scope="module")
def minilm() -> AdaptedModel:
    return build_model(experiment(), 20)


@pytest.fixture(scope="module")
def saved_classifier(tmp_path_factory) -> Path:
    """A tiny Hugging Face classifier of three classes with its tokeniser, as a user would have one."""
    directory = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        num_labels=3,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(directory)
    tokeniser = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokeniser.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokeniser, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(directory)
    return directory


def test_the_adapter_has_the_names_and_shapes_peft_saves(minilm):
    saved = peft.get_peft_model_state_dict(minilm.network, save_embedding_layers=False)
    adapter = minilm.get_adapter()
    assert {name: tuple(v.shape) for name, v in saved.items()} == {name: v.shape for name, v in adapter.items()}
    assert sum(v.size for name, v in adapter.items() if "lora_" in name) == 73_728
    assert sum(v.size for name, v in adapter.items() if "classifier" in name) == 7_700


def test_only_the_adapter_is_trained(minilm):
    trained = sum(p.numel() for p in minilm.network.parameters() if p.requires_grad)
    assert trained == sum(v.size for v in minilm.get_adapter().values())


def test_an_adapter_comes_back_as_it_was_set_and_foreign_ones_are_refused(minilm):
    before = minilm.get_adapter()
    changed = {name: v + np.float32(0.5) for name, v in before.items()}
    minilm.set_adapter(changed)
    assert all(np.array_equal(v, changed[name]) for name, v in minilm.get_adapter().items())
    minilm.set_adapter(before)
    name = next(iter(before))
    with pytest.raises(DataError, match="not in both"):
        minilm.set_adapter({n: v for n, v in before.items() if n != name})
    with pytest.raises(DataError, match="the model's"):
        minilm.set_adapter({**before, name: before[name][:1]})


def test_logits_follow_the_lora_formula(minilm):
    """The network with LoRA equals the bare network with s B A added to the weight."""
    before = minilm.get_adapter()
    stream = np.random.default_rng(0)
    changed = {n: (v + 0.1 * stream.standard_normal(v.shape)).astype(np.float32) for n, v in before.items()}
    minilm.set_adapter(changed)
    numbers = torch.tensor([[101, 2557, 13438, 102]])
    with torch.inference_mode():
        with_lora = minilm.logits(numbers, torch.ones_like(numbers))
        bare = transformers.AutoModel.from_pretrained(str(minilm.directory)).eval()
        for index, module in itertools.product(range(6), ("query", "value")):
            layer = getattr(bare.encoder.layer[index].attention.self, module)
            stem = f"base_model.model.encoder.encoder.layer.{index}.attention.self.{module}"
            product = changed[f"{stem}.lora_B.weight"] @ changed[f"{stem}.lora_A.weight"]
            layer.weight += minilm.scaling * torch.from_numpy(product)
        pooled = bare(numbers).last_hidden_state.mean(dim=1).numpy()
    head = changed["base_model.model.classifier.weight"], changed["base_model.model.classifier.bias"]
    minilm.set_adapter(before)
    np.testing.assert_allclose(with_lora.numpy(), pooled @ head[0].T + head[1], rtol=1e-3, atol=1e-4)


def test_bfloat16_logits_are_near_those_of_float32_and_nothing_but_products_is_rounded(minilm):
    mixed = build_model(experiment(precision="bfloat16"), 20)
    assert {p.dtype for p in mixed.network.parameters()} == {torch.float32}
    texts = tokenise(minilm.directory, ["radio waves", "an antenna on the roof of a long house by the sea"], 32)
    batch = texts.batch(np.array([0, 1]))
    with torch.inference_mode():
        states = [model.network.base_model.model.encoder(*batch).last_hidden_state for model in (minilm, mixed)]
        logits = [model.logits(*batch).numpy() for model in (minilm, mixed)]
    np.testing.assert_allclose(states[0], states[1], atol=1e-3)  # without autocast both are the same network
    assert logits[1].dtype == np.float32
    error = np.abs(logits[1] - logits[0]).max() / np.abs(logits[0]).max()
    assert 3e-4 < error < 0.02  # eight bits of mantissa; float32 would be at 1e-5


def test_padding_changes_no_logits(minilm):
    texts = ["radio waves", "an antenna on the roof of a long house by the sea"]
    tokens = tokenise(minilm.directory, texts, 32)
    with torch.inference_mode():
        both = minilm.logits(*tokens.batch(np.array([0, 1])))
        alone = minilm.logits(*tokens.batch(np.array([0])))
    np.testing.assert_allclose(both[0].numpy(), alone[0].numpy(), rtol=1e-4, atol=1e-5)


def test_evaluation_is_near_chance_at_first_and_does_not_depend_on_the_order(minilm):
    stream = np.random.default_rng(1)
    labels = stream.integers(0, 20, 60)
    texts = [" ".join(stream.choice(["gun", "car", "god", "disk", "game"], size=6)) for _ in labels]
    tokens = tokenise(minilm.directory, texts, 16)
    result = evaluate(minilm, tokens, labels, 20)
    assert result.accuracy < 0.2
    order = stream.permutation(60)
    again = evaluate(minilm, tokens.take(order), labels[order], 20)
    assert again.loss == pytest.approx(result.loss, rel=1e-5)


def test_long_texts_are_cut_before_tokenising_without_changing_their_tokens(minilm):
    text = "The re-used (2.4 GHz) antennas, unlike others, transmit.  " * 200
    whole = transformers.AutoTokenizer.from_pretrained(str(minilm.directory))(text, truncation=True, max_length=48)
    assert tokenise(minilm.directory, [text], 48).values.tolist() == whole["input_ids"]


def test_a_text_of_nothing_is_still_a_text(minilm):
    tokens = tokenise(minilm.directory, ["", "   "], 16)
    with torch.inference_mode():
        assert torch.isfinite(minilm.logits(*tokens.batch(np.array([0, 1])))).all()


def test_a_local_classifier_runs_with_its_own_head_kept(saved_classifier):
    local = experiment(source="local", path=str(saved_classifier), pooling="native", lora_rank=2)
    model = build_model(local, 3)
    original = transformers.BertForSequenceClassification.from_pretrained(str(saved_classifier)).eval()
    tokens = tokenise(model.directory, ["radio antenna", "engine wheel wheel"], 8)
    assert tokens.values.tolist() == [4, 5, 6, 7, 7]
    with torch.inference_mode():
        numbers, attended = tokens.batch(np.array([0, 1]))
        expected = original(input_ids=numbers, attention_mask=attended).logits
        np.testing.assert_allclose(model.logits(numbers, attended).numpy(), expected.numpy(), atol=1e-6)


def test_a_head_of_other_classes_is_drawn_anew_and_the_same_on_every_machine(saved_classifier):
    local = experiment(source="local", path=str(saved_classifier), pooling="native", lora_rank=2)
    first, again = build_model(local, 5).get_adapter(), build_model(local, 5).get_adapter()
    assert first["base_model.model.network.classifier.weight"].shape == (5, 16)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_local_encoder_also_takes_mean_pooling(saved_classifier):
    model = build_model(experiment(source="local", path=str(saved_classifier), lora_rank=2), 4)
    tokens = Tokens(np.array([4, 5], np.int32), np.array([0, 2]), 0)
    assert model.logits(*tokens.batch(np.array([0]))).shape == (1, 4)


def test_the_initial_adapter_changes_no_logits_and_depends_on_the_seed(saved_classifier):
    local = {"source": "local", "path": str(saved_classifier), "lora_rank": 2}
    one, two = (build_model(experiment(seed, **local), 4).get_adapter() for seed in (1, 2))
    for name in one:
        assert np.array_equal(one[name], two[name]) == name.endswith((".lora_B.weight", ".bias"))
        assert np.any(one[name]) != name.endswith((".lora_B.weight", ".bias"))


def test_a_frozen_factor_is_out_of_training_but_in_the_adapter(saved_classifier):
    model = build_model(experiment(source="local", path=str(saved_classifier)), 4)
    names = set(model.get_adapter())
    for frozen, ending in (("a", "lora_A.weight"), ("b", "lora_B.weight"), ("none", "nothing")):
        model.freeze(frozen)
        still = {name for name, p in model.parameters.items() if not p.requires_grad}
        assert still == {name for name in names if name.endswith(ending)}


def test_folded_weights_lie_on_top_of_the_loaded_ones_and_replace_each_other(saved_classifier):
    model = build_model(experiment(source="local", path=str(saved_classifier)), 4)
    module = lora_modules(model.get_adapter())[0]
    weight = model.network.get_submodule(module.name).base_layer.weight
    loaded = weight.detach().clone()
    change = np.random.default_rng(0).normal(size=(module.outputs, module.inputs)).astype(np.float32)
    for step in (change, 2 * change):
        model.set_folded({module.name: step})
        assert torch.equal(weight, loaded + torch.from_numpy(step))
    model.set_folded({})
    assert torch.equal(weight, loaded)


def test_a_new_model_runs_without_any_dropout(saved_classifier):
    model = build_model(experiment(source="local", path=str(saved_classifier), lora_dropout=0.5), 4)
    assert not any(module.training for module in model.network.modules())


def test_models_that_cannot_be_used_are_refused_in_one_line(tmp_path, saved_classifier):
    (tmp_path / "config.json").write_text("{}")
    for pooling in ("mean", "native"):
        with pytest.raises(DataError, match="cannot be loaded") as refusal:
            build_model(experiment(source="local", path=str(tmp_path), pooling=pooling), 4)
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="no usable tokeniser"):
        tokenise(tmp_path, ["text"], 8)
    with pytest.raises(ConfigurationError, match="lora_targets"):
        build_model(experiment(source="local", path=str(saved_classifier), lora_targets=["no_such_layer"]), 4)
    (saved_classifier / "broken").mkdir()
    for name in ("config.json", "model.safetensors"):
        (saved_classifier / "broken" / name).write_bytes((saved_classifier / name).read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be loaded"):
        build_model(experiment(source="local", path=str(saved_classifier / "broken")), 4)


def test_every_text_is_judged_by_its_own_label_whatever_its_length(minilm):
    before = minilm.get_adapter()
    minilm.set_adapter({n: v + np.float32(0.5) * np.random.default_rng(2).standard_normal(v.shape).astype(np.float32)
                        if "classifier" in n else v for n, v in before.items()})  # fmt: skip
    texts = ["a long text about antennas and the weather", "gun", "an engine and a wheel", "god knows", "disk"] * 8
    tokens = tokenise(minilm.directory, texts, 16)
    with torch.inference_mode():
        alone = [int(minilm.logits(*tokens.batch(np.array([i]))).argmax()) for i in range(5)] * 8
    assert len(set(alone)) > 2
    assert evaluate(minilm, tokens, np.array(alone), 20).accuracy == 1.0
    minilm.set_adapter(before)


def test_a_gpu_that_is_not_there_is_said_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingPartError, match=r'model\.device: torch finds no GPU on this machine; use "auto"'):
        build_model(experiment(device="cuda"), 20)
    assert build_model(experiment(device="auto"), 20).gpu == []


@pytest.mark.hardware
def test_a_gpu_trains_and_evaluates_as_the_processor_does():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch can use")
    batch = (torch.tensor([[5, 6, 7, 8]] * 3), torch.ones(3, 4, dtype=torch.int64))
    losses, gradients, scores = [], [], []
    for device in ("cpu", "cuda"):
        model = build_model(experiment(device=device), 20)
        loss = model.loss(batch, torch.tensor([1, 2, 3]))
        loss.backward()
        losses.append(float(loss.item()))
        gradients.append({n: p.grad.cpu().numpy() for n, p in model.parameters.items() if p.grad is not None})
        with torch.inference_mode():
            scores.append(model.score(batch))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
