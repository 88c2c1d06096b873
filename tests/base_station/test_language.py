"""Perplexity is told of language models, and of nothing else."""

import math

import pytest
from fake_run import make_fake_run
from msgspec import structs

from base_station.store.language import known_perplexity, perplexity
from base_station.store.run_store import RunStore
from base_station.store.summary import closing_lines, summary


def test_perplexity_is_the_exponential_of_the_loss_and_never_too_large():
    assert perplexity(math.log(50.0)) == pytest.approx(50.0)
    assert math.isfinite(perplexity(1e6))


def test_a_classifier_has_no_perplexity(tmp_path):
    with RunStore.read(make_fake_run(tmp_path / "run")) as store:
        result = summary(store)
        assert result["initial_perplexity"] is result["final_perplexity"] is None
        assert "perplexity" not in closing_lines(store, result)
        assert known_perplexity(store.experiment, 1.0) is None
        model = structs.replace(store.experiment.model, task="language-modelling", pooling="native")
        language = structs.replace(store.experiment, model=model)
        assert known_perplexity(language, 1.0) == pytest.approx(math.e)
        assert known_perplexity(language, None) is None
