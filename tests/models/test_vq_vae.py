import copy
import math

import msgspec
import pytest
import torch
from torch import nn

from enrapt.contracts.errors import UserError
from enrapt.models.mdvae import MDVAE
from enrapt.models.modality import Modality
from enrapt.models.vq_vae import COMMITMENT, VQVAE, Codebook, VQVAEConfig

SHAPES = {"spectrum": (32,), "picture": (16, 24)}
DECAY = Codebook.DECAY


def vq_vae(shape, **options):
    return VQVAE([Modality("x", shape=shape, likelihood="normal")], **options)


def constant(model):
    """Of −log N(x; ·, I)."""
    return 0.5 * model.only.dim * math.log(2 * math.pi)


@pytest.fixture(params=SHAPES)
def model(request):
    torch.manual_seed(0)
    return vq_vae(SHAPES[request.param], codes=12, size=3, hidden=8)


def shape(model):
    return model.only.shape


def codebook(*codes):
    book = Codebook(len(codes), len(codes[0]))
    book.code.copy_(torch.tensor(codes))
    book.total.copy_(book.code)
    book.idle.zero_()
    return book


def test_the_nearest_code_is_chosen():
    torch.manual_seed(0)
    book, h = Codebook(40, 5), torch.randn(7, 11, 5)
    distance = (h.unsqueeze(-2) - book.code).norm(dim=-1)
    assert torch.equal(book.nearest(h), distance.argmin(-1))
    assert torch.equal(book(h), book.code[distance.argmin(-1)])


def test_an_update_is_the_moving_average_in_closed_form():
    book = codebook([0.0, 0.0], [10.0, 10.0], [-10.0, 0.0])
    book.update(torch.tensor([[[1.0, 0.0], [3.0, 2.0]], [[9.0, 9.0], [-1.0, 1.0]]]))
    keep, new = DECAY, 1 - DECAY
    count = torch.tensor([keep + 3 * new, keep + new, keep])
    total = torch.tensor([[3 * new, 3 * new], [10 * keep + 9 * new] * 2, [-10 * keep, 0.0]])
    torch.testing.assert_close(book.count, count)
    torch.testing.assert_close(book.total, total)
    torch.testing.assert_close(book.code, total / count.unsqueeze(-1))
    torch.testing.assert_close(book.code[2], torch.tensor([-10.0, 0.0]))  # not chosen, not moved
    assert book.idle.tolist() == [0, 0, 1]


def test_repeated_updates_with_one_batch_converge_to_its_means():
    book = codebook([0.0], [10.0])
    h = torch.tensor([[1.0], [2.0], [9.0]])
    for _ in range(2000):
        book.update(h)
    torch.testing.assert_close(book.code, torch.tensor([[1.5], [9.0]]), rtol=1e-4, atol=0)
    torch.testing.assert_close(book.count, torch.tensor([2.0, 1.0]), rtol=1e-4, atol=0)


def test_an_unused_code_moves_to_an_output_after_its_patience():
    book = codebook([0.0, 0.0], [50.0, 50.0])
    h = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    for _ in range(Codebook.PATIENCE - 1):
        book.update(h)
    torch.testing.assert_close(book.code[1], torch.tensor([50.0, 50.0]))
    book.update(h)
    assert (book.code[1] == h).all(-1).any()
    assert book.count[1] == 1
    assert book.idle[1] == 0
    book.update(h)
    assert book.idle.tolist() == [0, 0]  # in use again


def test_the_first_batch_moves_all_unused_codes():
    torch.manual_seed(0)
    book, h = Codebook(20, 4), torch.randn(200, 4) * 0.1 + 5
    book.update(h)
    assert ((book.code.unsqueeze(1) == h).all(-1).any(1).sum()) >= 19  # the one nearest to all has moved on
    assert len(book.nearest(h).unique()) > 10


def test_the_gradient_goes_straight_through(model):
    x = torch.randn(4, *shape(model))
    vectors = model.vectors(x).detach().requires_grad_()
    codes = model.codebook(vectors.detach().unflatten(-1, (-1, 3)))
    q = codes.flatten(1).clone().requires_grad_()
    decoded = model.decoded(q.unflatten(-1, (-1, 3))).reshape(x.shape)
    (at_code,) = torch.autograd.grad((x - decoded).square().sum(), q)
    (at_encoder,) = torch.autograd.grad((x - model.pictures(vectors)).square().sum(), vectors)
    assert at_code.abs().sum() > 0
    torch.testing.assert_close(at_encoder, at_code)


def test_quantisation_of_a_code_is_exact(model):
    codes = model.codebook.code[torch.arange(2 * model.length // 3) % 12].reshape(2, model.length)
    q = codes.unflatten(-1, (-1, 3))
    assert torch.equal(model.codebook(q), q)
    assert torch.equal(model.pictures(codes), model.decoded(q).reshape(2, *shape(model)))


def test_the_loss_is_summed_over_dimensions_and_averaged_over_samples(model):
    model.eval()  # the codes stay
    x = torch.randn(5, *shape(model))
    losses = model.loss({"x": x})
    vectors = model.vectors(x)
    error = (x - model.pictures(vectors)).square().flatten(1).sum(1)
    q = model.codebook(vectors.unflatten(-1, (-1, 3))).flatten(1)
    torch.testing.assert_close(losses.nll["x"], 0.5 * error.mean() + constant(model))
    torch.testing.assert_close(losses.kl, (vectors - q).square().sum(1).mean())
    torch.testing.assert_close(losses.total, losses.nll["x"] + COMMITMENT * losses.kl)
    torch.testing.assert_close(model.loss({"x": torch.cat([x, x])}).total, losses.total)


def test_a_loss_in_training_updates_the_codebook_from_the_vectors_that_are_present(model):
    x = torch.randn(5, *shape(model))
    x[3] = torch.nan
    present = model.vectors(x[[0, 1, 2, 4]]).unflatten(-1, (-1, 3))
    book = copy.deepcopy(model.codebook)
    model.eval().loss({"x": x}, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.codebook.code, book.code)
    model.train().loss({"x": x}, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(model.codebook.code, book.code)
    book.update(present, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.codebook.state_dict(), book.state_dict())


def test_commitment_moves_the_encoder_and_nothing_else(model):
    model.loss({"x": torch.randn(3, *shape(model))}).kl.backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert all(p.grad is None for p in model.decoder.parameters())
    assert not list(model.codebook.parameters())


def test_leading_axes_do_not_matter(model):
    x = torch.randn(2, 3, *shape(model))
    vectors = model.vectors(x)
    assert vectors.shape == (2, 3, model.length)
    torch.testing.assert_close(vectors.flatten(0, 1), model.vectors(x.flatten(0, 1)))
    decoded = model.pictures(vectors)
    assert decoded.shape == x.shape
    torch.testing.assert_close(decoded.flatten(0, 1), model.pictures(vectors.flatten(0, 1)))


def test_training_reconstructs_a_few_patterns():
    torch.manual_seed(0)
    model = vq_vae((16,), codes=8, size=2, hidden=16)
    patterns = torch.randn(4, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        losses = model.loss({"x": patterns})
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    error = losses.nll["x"] - constant(model)
    assert error < 0.02 * 0.5 * patterns.square().sum(1).mean()


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6])
def test_the_loss_stays_finite(model, scale):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(2 * Codebook.PATIENCE):
        losses = model.loss({"x": scale * torch.randn(2, *shape(model))})
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert losses.total.isfinite()
    assert all(value.isfinite().all() for value in model.state_dict().values())


@torch.no_grad()
def test_the_log_likelihood_is_that_of_the_one_code(model):
    """−½ ‖x − D(q)‖² and constants of normalised values, less the volume of the normalisation."""
    center, scale = torch.randn(model.only.dim), torch.rand(model.only.dim) + 0.5
    model.normalise("x", center, scale)
    x = torch.randn(4, *shape(model))
    error = ((x - model.pictures(model.vectors(x))).flatten(1) / scale).square().sum(1)
    codes = model.length // 3 * math.log(12)
    expected = -0.5 * error - constant(model) - scale.log().sum() - codes
    x[2] = torch.nan
    expected[2] = 0
    torch.testing.assert_close(model.log_likelihood({"x": x}), expected)
    torch.testing.assert_close(model.log_likelihood({"x": x}, ["x"]), expected)
    for options in ({"of": ["y"]}, {"given": ["y"]}):
        with pytest.raises(UserError, match="y: no such modality; the model has x"):
            model.log_likelihood({"x": x}, **options)


def test_a_shape_that_is_no_multiple_of_the_stride_is_rejected():
    for wrong in ((12,), (8, 8, 8), (64, 60)):
        with pytest.raises(ValueError, match="multiples of 8"):
            VQVAEConfig((Modality("x", shape=wrong, likelihood="normal"),))
    with pytest.raises(ValueError, match="shape"):
        Modality("x", shape=())


def test_other_modalities_than_one_normal_one_are_rejected():
    x = Modality("x", 8, likelihood="normal")
    for wrong in (
        (x, msgspec.structs.replace(x, name="y")),
        (msgspec.structs.replace(x, role="target"),),
        (msgspec.structs.replace(x, likelihood="bernoulli"),),
        (msgspec.structs.replace(x, encoder="Linear(8, 8)"),),
    ):
        with pytest.raises(ValueError, match=r"has one modality|a normal likelihood"):
            VQVAEConfig(wrong)


def test_an_mdvae_goes_between_encoder_and_codebook():
    """The lines of the module's docstring: with a perfect MDVAE, VQ-MDVAE is the VQ-VAE."""
    torch.manual_seed(0)
    parts = {name: vq_vae(size, codes=12, size=3, hidden=8) for name, size in SHAPES.items()}
    values = {name: torch.randn(2, 4, *size) for name, size in SHAPES.items()}
    with torch.no_grad():
        x = {name: part.vectors(values[name]) for name, part in parts.items()}
    modalities = [Modality(name, v.shape[-1], likelihood="normal") for name, v in x.items()]
    mdvae = MDVAE(modalities, hidden=8, static=2, shared=2, private=2)
    mdvae.loss(x).total.backward()
    assert all(p.grad is None for part in parts.values() for p in part.parameters())
    mdvae.decoder = nn.ModuleDict({name: Constant(v[0, 0]) for name, v in x.items()})
    for name, decoded in mdvae.decode(mdvae.encode(x)).items():
        vq = parts[name].pictures(decoded)
        assert vq.shape == values[name].shape
        torch.testing.assert_close(vq[1, 3], parts[name].pictures(x[name])[0, 0])


class Constant(nn.Module):
    """A decoder of MDVAE that always gives the same mean."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, z):
        return torch.cat([self.value, self.value]).expand(*z.shape[:-1], -1)
