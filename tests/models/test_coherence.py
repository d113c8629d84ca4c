import pytest
import torch
from torch import nn

from enrapt.contracts.errors import UserError
from enrapt.models import MMVRNN, MVAE, Modality
from enrapt.models.coherence import coherence, conditional_accuracy

SIGN = nn.Linear(1, 2, bias=False)  # class 1 of positive numbers
SIGN.weight.data = torch.tensor([[0.0], [1.0]])
IS = nn.Identity()


def one_hot(*classes):
    return torch.eye(3)[list(classes)]


def test_coherence_is_the_share_of_samples_whose_modalities_agree():
    generated = {"a": one_hot(0, 1, 2, 2), "b": one_hot(0, 1, 1, 2), "c": one_hot(0, 2, 2, 2)}
    assert coherence(generated, {"a": IS, "b": IS}) == 0.75
    assert coherence(generated, {"a": IS, "b": IS, "c": IS}) == 0.5  # all three


@pytest.mark.parametrize("names", [("a",), (), ("a", "z")])
def test_coherence_needs_two_modalities_that_were_generated(names):
    with pytest.raises(UserError, match="two or more of a, b, found"):
        coherence({"a": one_hot(0), "b": one_hot(0)}, dict.fromkeys(names, IS))


@pytest.fixture
def model():
    """An MVAE that copies the sign of `number` to `label`: decoders of known weights, z of one dimension."""
    torch.manual_seed(0)
    number = Modality("number", 1, likelihood="normal", encoder=nn.Identity(), decoder=nn.Linear(1, 1))
    label = Modality("label", 2, likelihood="categorical", encoder=nn.Identity(), decoder=nn.Linear(1, 2))
    model = MVAE([number, label], latent=1)
    with torch.no_grad():
        of_number, of_label = (model.encoder[m][1] for m in ("number", "label"))
        of_number.weight.copy_(torch.tensor([[10.0], [0.0]]))
        of_label.weight.copy_(torch.tensor([[-10.0, 10.0], [0.0, 0.0]]))
        for m, weight in {"number": [[1.0]], "label": [[-10.0], [10.0]]}.items():
            decoder = model.decoder[m].network
            decoder.weight.copy_(torch.tensor(weight))
            decoder.bias.zero_()
    return model


NUMBERS = torch.tensor([[-1.0], [2.0], [-0.5], [3.0]])


def test_conditional_accuracy_is_one_where_the_model_copies_the_class(model):
    data = {"number": NUMBERS, "label": torch.eye(2)[[0, 1, 0, 1]]}
    assert conditional_accuracy(model, data, ["number"], "label", IS) == 1
    assert conditional_accuracy(model, data, ["label"], "number", SIGN) == 1
    wrong = data | {"label": torch.eye(2)[[0, 1, 0, 0]]}
    assert conditional_accuracy(model, wrong, ["number"], "label", IS) == 0.75


def test_the_truth_can_be_given_and_is_else_taken_where_there_is_data(model):
    truth = torch.tensor([0, 1, 1, 1])
    assert conditional_accuracy(model, {"number": NUMBERS}, ["number"], "label", IS, truth) == 0.75
    label = torch.eye(2)[[0, 0, 0, 1]]
    label[1] = torch.nan
    data = {"number": NUMBERS, "label": label}
    assert conditional_accuracy(model, data, ["number"], "label", IS) == 1
    with pytest.raises(UserError, match="label: not among the data"):
        conditional_accuracy(model, {"number": NUMBERS}, ["number"], "label", IS)


def test_every_draw_of_z_counts(model):
    with torch.no_grad():
        model.encoder["number"][1].weight.zero_()  # the posterior no longer depends on the number
        model.encoder["number"][1].bias.zero_()
    data = {"number": NUMBERS.repeat(500, 1)}
    truth = torch.tensor([0, 1, 0, 1]).repeat(500)
    generator = torch.Generator().manual_seed(0)
    share = conditional_accuracy(model, data, ["number"], "label", IS, truth, 5, generator)
    assert share == pytest.approx(0.5, abs=0.03)  # 10,000 draws, of which either class has half


def test_of_sequences_every_tick_counts():
    torch.manual_seed(0)
    model = MMVRNN([Modality("number", 1, likelihood="normal"), Modality("label", 2)], hidden=4, latent=2)
    data = {"number": torch.randn(3, 5, 1), "label": torch.full((3, 5, 2), torch.nan)}
    data["label"][0, :2] = torch.tensor([0.0, 1.0])
    found = model.decode(model.encode(data, ["number"]))["label"].argmax(-1)
    expected = found[0, :2].double().mean().item()
    assert conditional_accuracy(model, data, ["number"], "label", IS) == expected
    assert conditional_accuracy(model, data, ["number"], "label", IS, truth=found) == 1
