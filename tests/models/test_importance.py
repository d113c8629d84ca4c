import math

import pytest
import torch

from enrapt.models.importance import log_conditional, log_likelihood, log_normal

# z ~ N(0, I), x = A z + e, y = B z + f with noise of variance V: everything is Gaussian and exact.
Z, X, Y, N, V = 3, 4, 2, 5, 0.3


@pytest.fixture
def linear():
    """A, B, and x and y of N samples, in float64."""
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(d, Z, generator=g, dtype=torch.float64) for d in (X, Y))
    z = torch.randn(N, Z, generator=g, dtype=torch.float64)
    return a, b, z @ a.T, z @ b.T


def exact(weights, values):
    """log N(values; 0, W Wᵀ + V I)."""
    covariance = weights @ weights.T + V * torch.eye(len(weights), dtype=weights.dtype)
    zero = torch.zeros(len(weights), dtype=weights.dtype)
    return torch.distributions.MultivariateNormal(zero, covariance).log_prob(values)


def parts(weights, values):
    """log p(values, z), and an approximate posterior of z: the diagonal of the precision only."""
    precision = torch.eye(Z, dtype=weights.dtype) + weights.T @ weights / V
    mean = values @ weights / V @ torch.linalg.inv(precision)
    one, noise = torch.ones(1, dtype=weights.dtype), torch.tensor([1 / V], dtype=weights.dtype)

    def log_joint(z):
        return log_normal(z, 0 * one, one) + log_normal(values, z @ weights.T, noise)

    return log_joint, (mean, torch.diagonal(torch.linalg.inv(precision)).reciprocal().expand(N, Z))


def generator():
    return torch.Generator().manual_seed(1)


def test_the_estimate_is_the_exact_log_likelihood_of_a_linear_gaussian_model(linear):
    a, b, x, y = linear
    both, values = torch.cat([a, b]), torch.cat([x, y], -1)
    estimate = log_likelihood(*parts(both, values), 20_000, generator(), 1_000)
    torch.testing.assert_close(estimate, exact(both, values), rtol=0, atol=0.05)
    estimate = log_conditional(parts(both, values), parts(b, y), 20_000, generator(), 1_000)
    torch.testing.assert_close(estimate, exact(both, values) - exact(b, y), rtol=0, atol=0.05)


def test_one_draw_of_the_true_posterior_is_exact():
    weights = torch.tensor([[2.0]], dtype=torch.float64)
    values = torch.linspace(-1, 1, N, dtype=torch.float64).unsqueeze(-1)
    mean = values * 2 / V / (1 + 4 / V)
    precision = torch.full((N, 1), 1 + 4 / V, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)

    def log_joint(z):
        return log_normal(z, 0 * one, one) + log_normal(values, z @ weights.T, one / V)

    estimate = log_likelihood(log_joint, (mean, precision), 1, generator())
    torch.testing.assert_close(estimate, exact(weights, values))


def test_the_result_does_not_depend_on_the_chunks(linear):
    a, _, x, _ = linear
    whole = log_likelihood(*parts(a, x), 37, generator(), 37)
    for chunk in (1, 10, 36, 100):
        torch.testing.assert_close(log_likelihood(*parts(a, x), 37, generator(), chunk), whole)


def test_the_log_is_of_the_mean_and_not_the_mean_of_the_log(linear):
    a, _, x, _ = linear
    joint, proposal = parts(a, x)
    draws = generator()
    elbo = torch.stack([log_likelihood(joint, proposal, 1, draws) for _ in range(50)]).mean(0)
    assert (log_likelihood(joint, proposal, 50, generator()) > elbo).all()
    # Where every weight is the same, their number does not matter.
    constant = log_likelihood(lambda z: log_normal(z, *proposal) + 3, proposal, 7, generator(), 2)
    torch.testing.assert_close(constant, torch.full((N,), 3.0, dtype=torch.float64))


def test_log_normal_is_the_librarys():
    z, mean, precision = torch.randn(7), torch.randn(7), torch.rand(7) + 0.1
    expected = torch.distributions.Normal(mean, precision.rsqrt()).log_prob(z).sum()
    torch.testing.assert_close(log_normal(z, mean, precision), expected)
    assert log_normal(torch.zeros(1), torch.zeros(1), torch.ones(1)).item() == pytest.approx(
        -0.5 * math.log(2 * math.pi)
    )
