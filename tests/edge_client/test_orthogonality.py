import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.orthogonality import orthogonality_term


def plain_term(rows: np.ndarray) -> float:
    """The definition, written out pair by pair."""
    gram = rows @ rows.T
    pairs = sum(gram[i, j] ** 2 for i in range(len(gram)) for j in range(len(gram)) if i != j)
    return 0.5 * pairs / np.mean([gram[i, i] for i in range(len(gram))]) ** 2


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32), st.floats(0.01, 100.0))
def test_the_term_is_the_plain_formula_at_any_scale(rank, width, seed, scale):
    rows = scale * np.random.default_rng(seed).standard_normal((rank, width))
    computed = orthogonality_term([torch.from_numpy(rows)]).item()
    assert computed == pytest.approx(plain_term(rows), rel=1e-9, abs=1e-12)


def test_factors_add_up():
    one, two = torch.randn(4, 7, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    both = orthogonality_term([one, two])
    assert both.item() == pytest.approx((orthogonality_term([one]) + orthogonality_term([two])).item())


def test_orthogonal_rows_cost_nothing_whatever_their_lengths():
    rows = torch.diag(torch.tensor([1.0, 5.0, 0.1]))
    assert orthogonality_term([rows]).item() == 0.0


def test_the_divisor_is_a_constant_to_the_gradient():
    rows = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    orthogonality_term([rows]).backward()
    values = rows.detach()
    gram = values @ values.T
    off_diagonal = gram - torch.diag(torch.diagonal(gram))
    expected = 2.0 * off_diagonal @ values / torch.diagonal(gram).mean() ** 2
    torch.testing.assert_close(rows.grad, expected)


def test_a_factor_of_zeros_has_no_term_and_no_gradient():
    rows = torch.zeros(8, 16, requires_grad=True)
    term = orthogonality_term([rows])
    term.backward()
    assert term.item() == 0.0
    assert torch.equal(rows.grad, torch.zeros(8, 16))
