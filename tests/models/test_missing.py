import numpy as np
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models import MMVRNN, fit
from enrapt.models.batch import Batch
from enrapt.models.missing import Dropout, bursts, hidden, modality_dropout
from enrapt.models.modality import Modality


def lengths(row):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return edges[1::2] - edges[::2]


def test_bursts_and_gaps_have_the_configured_lengths():
    missing = bursts(np.random.default_rng(0), 50, 20_000, 10, 30)
    burst = np.concatenate([lengths(row) for row in missing])
    gap = np.concatenate([lengths(~row) for row in missing])
    assert burst.mean() == pytest.approx(10, rel=0.05)
    assert gap.mean() == pytest.approx(30, rel=0.05)
    assert missing.mean() == pytest.approx(0.25, rel=0.05)


def test_gaps_may_differ_by_stream():
    missing = bursts(np.random.default_rng(0), 2, 50_000, 10, np.array([10.0, 1e12]))
    assert missing[0].mean() == pytest.approx(0.5, abs=0.05)
    assert missing[1].mean() == 0


def test_shares_of_hidden_sequences_are_as_configured():
    config = Dropout(absent=0.2, bursts=0.3, frames=0.1, frame_share=0.5, burst_seconds=1.0)
    hidden = modality_dropout(np.random.default_rng(1), 2000, 500, 25, config)
    share = hidden.mean(1)
    assert (share == 1).mean() == pytest.approx(0.2, abs=0.03)
    assert (share == 0).mean() == pytest.approx(0.4, abs=0.03)
    flips = np.diff(hidden.astype(int), axis=1).astype(bool).mean(1)
    assert (flips > 0.4).mean() == pytest.approx(0.1, abs=0.02)


def test_the_encoders_see_a_part_of_what_is_available_and_a_target_by_whole_sequences():
    modalities = (
        Modality("a", 1),
        Modality("b", 1),
        Modality("y", 1, "target", "bernoulli"),
        Modality("c", 1),
    )
    available = {name: torch.rand(500, 50) < 0.8 for name in ("y", "b", "a")}
    batch = Batch({name: torch.zeros(500, 50, 1) for name in available}, available)
    dropout = Dropout(absent=0.5, bursts=0, frames=0, target=0.7)
    fed = hidden(np.random.default_rng(0), batch, modalities, 25, dropout)
    assert set(fed) == {"a", "b", "y"}
    hides = {}
    for name, seen in fed.items():
        assert not (seen & ~available[name]).any()
        hides[name] = ~seen.any(1)
        assert torch.equal(seen[~hides[name]], available[name][~hides[name]])
    for name, share in (("a", 0.5), ("b", 0.5), ("y", 0.7)):
        assert hides[name].float().mean().item() == pytest.approx(share, abs=0.07)
    assert 0.15 < (hides["a"] & hides["b"]).float().mean() < 0.35  # each by itself
    again = hidden(np.random.default_rng(0), batch, modalities, 25, dropout)
    assert all(torch.equal(again[name], fed[name]) for name in fed)
    everything = hidden(np.random.default_rng(0), batch, modalities, 25, Dropout(0, 0, 0, target=0))
    assert all(torch.equal(everything[name], available[name]) for name in available)


def test_what_is_kept_is_never_hidden_and_changes_nothing_for_the_others():
    modalities = (Modality("a", 1), Modality("clock", 1, "context"), Modality("b", 1))
    available = {m.name: torch.rand(50, 20) < 0.8 for m in modalities}
    batch = Batch({name: torch.zeros(50, 20, 1) for name in available}, available)
    fed = hidden(np.random.default_rng(0), batch, modalities, 25, Dropout(keep=("clock",)))
    assert torch.equal(fed["clock"], available["clock"])
    others = Batch(*({k: v for k, v in part.items() if k != "clock"} for part in batch[:2]))
    alone = hidden(np.random.default_rng(0), others, modalities, 25, Dropout())
    assert all(torch.equal(fed[name], alone[name]) for name in alone)


def test_a_name_to_keep_that_no_modality_has_is_refused():
    model = MMVRNN([Modality("a", 1)], hidden=4, latent=2)
    with pytest.raises(UserError, match="keep: no modality clock; found a"):
        fit(model, {"a": torch.zeros(2, 3, 1)}, epochs=1, dropout=Dropout(keep=("clock",)))
