import torch
from hypothesis import given
from hypothesis import strategies as st

from enrapt.models.experts import kl_divergence, product


def test_two_standard_normals_give_the_scale_root_half():
    one, zero = torch.ones(1), torch.zeros(1)
    mean, precision = product(zero, one, zero[None], one[None], one)
    assert mean.item() == 0
    assert torch.rsqrt(precision).item() == torch.tensor(0.5).sqrt().item()


@given(st.integers(0, 2**32 - 1))
def test_the_product_is_the_closed_form(seed):
    g = torch.Generator().manual_seed(seed)
    means = torch.randn(4, 3, generator=g, dtype=torch.float64)
    precisions = torch.rand(4, 3, generator=g, dtype=torch.float64) + 0.1
    mask = (torch.rand(3, generator=g) < 0.5).double()
    mean, precision = product(means[0], precisions[0], means[1:], precisions[1:], mask)
    weights = torch.cat([torch.ones(1), mask])[:, None] * precisions
    torch.testing.assert_close(precision, weights.sum(0))
    torch.testing.assert_close(mean, (weights * means).sum(0) / weights.sum(0))


def test_with_nothing_present_the_product_is_the_prior_to_the_bit():
    prior_mean, prior_precision = torch.randn(5), torch.rand(5) + 0.1
    mean, precision = product(
        prior_mean, prior_precision, torch.randn(2, 5), torch.rand(2, 5), torch.zeros(2)
    )
    assert torch.equal(mean, prior_mean)
    assert torch.equal(precision, prior_precision)


def test_kl_of_a_distribution_with_itself_is_zero_and_with_others_the_libraries():
    mean, precision = torch.randn(7), torch.rand(7) + 0.1
    assert kl_divergence(mean, precision, mean, precision).item() == 0
    other, sharp = torch.randn(7), torch.rand(7) + 0.1
    q = torch.distributions.Normal(mean, precision.rsqrt())
    p = torch.distributions.Normal(other, sharp.rsqrt())
    expected = torch.distributions.kl_divergence(q, p).sum()
    torch.testing.assert_close(kl_divergence(mean, precision, other, sharp), expected)
