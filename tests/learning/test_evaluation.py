import numpy as np
import pytest

from learning.evaluation import accuracy_on_mix, summarise, wilson_interval

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]], dtype=np.float32))
LABELS = np.array([0, 1, 1, 2])


def test_loss_accuracy_and_f1_follow_their_definitions():
    result = summarise(LOGITS, LABELS, 3)
    assert result.loss == pytest.approx(-np.mean(np.log([0.7, 0.8, 0.3, 0.3])), rel=1e-6)
    assert result.accuracy == 0.5
    assert result.correct.tolist() == [1, 1, 0]
    assert result.total.tolist() == [1, 2, 1]
    # Predicted 0, 1, 0, 1: precision 1/2, recall 1; precision 1/2, recall 1/2; never predicted.
    assert result.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_classes_that_occur_nowhere_do_not_lower_f1():
    assert summarise(np.eye(5, dtype=np.float32)[:2], np.array([0, 1]), 5).macro_f1 == 1.0


def test_a_client_s_accuracy_weighs_classes_by_its_own_mix():
    result = summarise(LOGITS, LABELS, 3)
    assert accuracy_on_mix(result, np.array([3, 1, 0])) == pytest.approx((3 * 1 + 1 * 0.5) / 4)


def test_a_mix_of_classes_nobody_evaluated_falls_back_to_the_overall_accuracy():
    result = summarise(LOGITS[:1], LABELS[:1], 3)
    assert accuracy_on_mix(result, np.array([0, 5, 5])) == result.accuracy


def test_wilson_interval_matches_the_textbook_value():
    low, high = wilson_interval(90, 100)
    assert (low, high) == (pytest.approx(0.8256, abs=1e-4), pytest.approx(0.9448, abs=1e-4))
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0
