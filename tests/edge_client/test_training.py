import subprocess
import sys
from functools import cache

import msgspec
import numpy as np
import pytest
import torch

from edge_client.training import LocalUpdate, train_local
from learning.data import load_dataset
from learning.evaluation import evaluate
from learning.model import AdaptedModel, build_model, configure_torch
from learning.partition import partition_samples
from learning.tokens import Tokens, tokenise
from protocol.adapters import Adapter, adapter_digest
from protocol.configuration import Experiment
from protocol.experiment_file import experiment_from_dict
from protocol.factors import column_overlap

MAX_TOKENS = 24


def small_experiment(lora_dropout: float = 0.0, aggregation: str = "separate") -> Experiment:
    members = [{"name": name, "distance_m": 10.0} for name in ("ann", "bo")]
    raw = {"experiment": {"name": "t", "seed": 5}, "clients": {"members": members}}
    model = {"max_tokens": MAX_TOKENS, "lora_dropout": lora_dropout}
    training = {"local_steps": 4, "batch_size": 8, "aggregation": aggregation}
    return experiment_from_dict({**raw, "model": model, "training": training}, "test")


def built(lora_dropout: float = 0.0, aggregation: str = "separate") -> tuple[AdaptedModel, Adapter]:
    return built_once(lora_dropout, aggregation)


@cache
def built_once(lora_dropout: float, aggregation: str) -> tuple[AdaptedModel, Adapter]:
    configure_torch(1)
    model = build_model(small_experiment(lora_dropout, aggregation), 20)
    return model, model.get_adapter()


@cache
def shard() -> tuple[Tokens, np.ndarray]:
    """96 real texts of one client."""
    data = load_dataset(small_experiment())
    texts = data.train.take(partition_samples(small_experiment(), data.train).indices["ann"][:960:10])
    return tokenise(built()[0].directory, texts.contents, MAX_TOKENS), texts.labels


def train(
    weight: float = 0.0, round_index: int = 0, client: str = "ann", steps: int = 4, lora_dropout: float = 0.0,
    aggregation: str = "separate",
) -> LocalUpdate:  # fmt: skip
    model, adapter = built(lora_dropout, aggregation)
    training = msgspec.structs.replace(small_experiment(aggregation=aggregation).training, local_steps=steps)
    return train_local(model, adapter, *shard(), training, weight, round_index, client, seed=5)


def test_the_mean_gradient_is_that_of_the_batches_where_training_hardly_moves():
    model, adapter = built()
    still = msgspec.structs.replace(small_experiment().training, learning_rate=1e-12, local_steps=2, batch_size=48)
    tokens, labels = shard()
    update = train_local(model, adapter, tokens, labels, still, 0.0, 0, "ann", seed=5)
    # Two batches of 48 are all 96 texts, so the mean over the steps is the gradient over all of them.
    model.set_adapter(adapter)
    model.network.zero_grad(set_to_none=True)
    model.loss(tokens.batch(np.arange(96)), torch.from_numpy(labels)).backward()
    for name, parameter in model.parameters.items():
        np.testing.assert_allclose(update.gradient[name], parameter.grad.numpy(), rtol=1e-2, atol=1e-6, err_msg=name)
    model.network.zero_grad(set_to_none=True)


def test_a_frozen_factor_has_no_gradient():
    update = train(aggregation="freeze-a")
    for name, gradient in update.gradient.items():
        assert np.any(gradient) != name.endswith("lora_A.weight"), name


def test_a_few_steps_lower_the_loss_on_the_client_s_own_texts():
    model, adapter = built()
    tokens, labels = shard()
    model.set_adapter(adapter)
    before = evaluate(model, tokens, labels, 20).loss
    train(steps=10)
    assert evaluate(model, tokens, labels, 20).loss < before - 0.2


def test_training_starts_from_the_given_adapter_and_returns_what_it_trained():
    update = train()
    _, start = built()
    assert update.steps == 4
    assert update.trained.keys() == start.keys()
    assert all(np.any(update.trained[name] != start[name]) for name in start)
    # AdamW moves a value by about the learning rate a step, so nothing can be far from the start.
    assert max(float(np.abs(update.trained[n] - start[n]).max()) for n in start) < 4 * 4 * 0.004
    assert np.isfinite(update.loss)


def test_training_twice_gives_the_same_bits():
    assert adapter_digest(train(weight=0.1).trained) == adapter_digest(train(weight=0.1).trained)


def test_a_fresh_process_trains_to_the_same_bits():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_training as t; "
        "print(t.adapter_digest(t.train(weight=0.1).trained).hex())"
    )
    directory = __file__.rpartition("/")[0]
    fresh = subprocess.run(
        [sys.executable, "-c", program, directory], capture_output=True, text=True, timeout=120, check=True
    )
    assert fresh.stdout.strip() == adapter_digest(train(weight=0.1).trained).hex()


def test_rounds_and_clients_see_different_batches():
    digests = {adapter_digest(train(round_index=r, client=c, steps=1).trained) for r in (0, 1) for c in ("ann", "bo")}
    assert len(digests) == 4


def test_the_orthogonality_term_keeps_rank_components_apart():
    without, kept_apart = (train(weight=weight, steps=8).trained for weight in (0.0, 1.0))
    assert column_overlap(kept_apart)[1] < 0.5 * column_overlap(without)[1]


def test_lora_dropout_is_keyed_by_round_and_leaves_torch_s_own_generator_alone():
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    first = adapter_digest(train(lora_dropout=0.5).trained)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(7)
    assert adapter_digest(train(lora_dropout=0.5).trained) == first
    assert first != adapter_digest(train().trained)


def test_evaluation_after_training_runs_without_dropout():
    train(lora_dropout=0.5)
    model, _ = built(0.5)
    assert not any(module.training for module in model.network.modules())


def test_frozen_a_stays_and_b_is_trained():
    update = train(weight=0.1, aggregation="freeze-a")
    start = built(0.0, "freeze-a")[1]
    for name, values in update.trained.items():
        assert np.array_equal(values, start[name]) == name.endswith("lora_A.weight")


def test_alternating_factors_train_b_in_odd_rounds_and_a_in_even_ones():
    start = built(0.0, "alternate")[1]
    begun = {n: v + np.float32(0.01) if n.endswith("lora_B.weight") else v for n, v in start.items()}
    for round_index, still in ((1, "lora_A.weight"), (2, "lora_B.weight"), (3, "lora_A.weight")):
        training = small_experiment(aggregation="alternate").training
        update = train_local(built(0.0, "alternate")[0], begun, *shard(), training, 0.1, round_index, "ann", seed=5)
        for name, values in update.trained.items():
            assert np.array_equal(values, begun[name]) == name.endswith(still)


@pytest.mark.parametrize("texts", [5, 8, 20])
def test_a_pass_uses_every_text_once_before_any_comes_again(texts, monkeypatch):
    seen: list[int] = []
    tokens, labels = shard()
    few = tokens.take(np.arange(texts))
    monkeypatch.setattr(Tokens, "batch", _recording(Tokens.batch, seen))
    model, adapter = built()
    training = msgspec.structs.replace(small_experiment().training, local_steps=2, batch_size=8)
    train_local(model, adapter, few, labels[:texts], training, 0.0, 0, "ann", seed=5)
    first_pass = seen[: texts - texts % min(8, texts)]
    assert len(set(first_pass)) == len(first_pass)
    assert len(seen) == 2 * min(8, texts)


def _recording(batch, seen):
    def record(self, indices):
        seen.extend(indices.tolist())
        return batch(self, indices)

    return record
