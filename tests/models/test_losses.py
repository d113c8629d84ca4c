import pytest
import torch

from enrapt.models.losses import averaged, masked_mean


def test_a_masked_mean_ignores_masked_values_even_nan():
    values = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
    mask = torch.tensor([[True, True], [True, False]])
    assert masked_mean(values, mask) == 2.0
    assert masked_mean(values, mask, 0).tolist() == [2.0, 2.0]
    assert masked_mean(values[:, :1], torch.tensor([[False], [True]]), 0).tolist() == [3.0]


@pytest.mark.parametrize("dim", [None, 0])
def test_a_mean_of_nothing_is_0_and_has_a_finite_gradient(dim):
    values = torch.full((3, 2), torch.inf, requires_grad=True)
    mean = masked_mean(values, torch.zeros(3, 2, dtype=torch.bool), dim)
    assert not mean.any()
    mean.sum().backward()
    assert not values.grad.any()


def test_a_part_of_the_elbo_is_averaged_over_what_counts_or_over_what_has_it():
    nats = torch.tensor([1.0, 2.0, torch.nan, torch.inf])
    present, counted = torch.tensor([True, True, False, False]), torch.tensor([True, True, True, False])
    assert averaged(nats, present, counted, reweight=False) == 1.0
    assert averaged(nats, present, counted, reweight=True) == 1.5
    nothing = torch.zeros(4, dtype=torch.bool)
    assert averaged(nats, nothing, counted, reweight=True) == 0.0


def test_a_part_of_the_elbo_is_averaged_over_one_axis():
    nats = torch.tensor([[1.0, 2.0, torch.nan], [4.0, torch.inf, torch.nan]])
    present = torch.tensor([[True, True, False], [True, False, False]])
    counted = torch.tensor([[True, True, True], [True, True, False]])
    assert averaged(nats, present, counted, False, 1).tolist() == [1.0, 2.0]
    assert averaged(nats, present, counted, True, 1).tolist() == [1.5, 4.0]
