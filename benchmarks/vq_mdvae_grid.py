"""VQ-MDVAE on GRID sentences: restoring six frames in which the mouth or the eyes are covered.

    python benchmarks/vq_mdvae_grid.py CLIPS [--regions mouth eyes] [--ticks validation] [--picture FILE]

The denoising experiment of Sadok, Leglaive, Girin, Alameda-Pineda & Séguier (2023), with little data: the
`grid_*.mpg` of a folder, 64×64 grey crops of the face and a spectrum per frame. The six middle frames of
every clip and their sound are excluded from all training, including that of the VQ-VAEs; the rest of the same
clips is used. So the speakers and the neighbouring frames are known, and the speech in between is not. A
held-out speaker would require the mouth of an unknown face.

Compared are the VQ-VAE alone, VQ-MDVAE of video only (the paper's DSAE: the same model without sound, with
as many dynamic latents) and VQ-MDVAE of video and sound. Both take 16 ticks, with the six in the middle and
all sound present; the six frames are given corrupted, or masked as missing: then what was covered makes no
difference. The MDVAEs model the leading principal components of the VQ-VAEs' vectors. Baselines: linear
interpolation from the frame before to the one after, the mean frame of the clip's training part, and the
VQ-VAE on the frames without the cover.

PSNR in dB and SSIM on the covered pixels and on the whole decoded frame, means over frames ± standard error
over clips. Settings were chosen with `--ticks validation`, which excludes six other frames too.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from datasets.grid import TICKS, Data, augmented, read, unchanged
from ssim import ssim
from torch import Tensor, nn

from enrapt.models import MDVAE, VQVAE, Annealing, Batch, Modality, fit
from enrapt.realtime.features.face.model_file import find_face_model

COVERED = 6
EXCLUDED = {"test": slice(34, 40), "validation": slice(22, 28)}
REGIONS = {  # rows and columns of the cover
    "mouth": (slice(42, 60), slice(18, 46)),
    "eyes": (slice(6, 24), slice(9, 55)),
}
GREY = 0.5

COPIES = 16  # augmented copies of every clip, for the VQ-VAEs
CODING = {"video": (4, 16), "audio": (5, 32)}  # epochs and batch size of the VQ-VAEs
COMPONENTS = 48  # principal components of the coders' vectors of 512 numbers
STATIC = 16  # dimensions of w
STEPS, STREAMS, LENGTH = 700, 8, 16  # of the MDVAEs' training
RATE = 4e-3
BETA, WARMUP = 0.1, 200  # β, and the steps over which it rises to it
INPUTS = ("corrupted", "masked")  # the covered frames as input


class Coder(NamedTuple):
    """A trained VQ-VAE, and the leading principal components of its vectors.

    A face's vector of 512 numbers varies little within a clip, mostly in a few directions. On these an MDVAE
    learns in hundreds of steps what it does not begin to learn in 1500 on the vectors.
    """

    vq: VQVAE
    mean: Tensor  # [F]
    axes: Tensor  # [F, COMPONENTS]

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """`[…, *shape]` → `[…, COMPONENTS]`."""
        return (self.vq.vectors(x) - self.mean) @ self.axes

    @torch.no_grad()
    def decode(self, features: Tensor) -> Tensor:
        return self.vq.pictures(features @ self.axes.T + self.mean)

    @torch.no_grad()
    def through(self, x: Tensor) -> Tensor:
        """Encode, quantise and decode, with all components."""
        return self.vq.pictures(self.vq.vectors(x))


def train_coder(name: str, samples: Tensor, plain: Tensor, epochs: int, batch: int, seed: int) -> Coder:
    """A VQ-VAE of samples `[N, *shape]`; principal components of those without augmentation, `plain`."""
    vq = VQVAE([Modality(name, shape=tuple(samples.shape[1:]), likelihood="normal")])
    # One scale for all: a pixel that hardly varies must not be amplified. All pixels have one mean, too.
    center = samples.mean().expand(vq.only.dim) if name == "video" else samples.mean(0)
    scale = (samples.flatten(1) - center).std()
    vq.normalise(name, center, scale.expand(vq.only.dim))
    fit(vq, {name: samples}, batch=batch, epochs=epochs, lr=1e-3, annealing="constant", clip=50.0, seed=seed)
    with torch.no_grad():
        vectors = vq.vectors(plain)
    used = len(vq.codebook.nearest(vectors.unflatten(-1, (-1, vq.config.size))).unique())
    mean = vectors.mean(0)
    values, directions = torch.linalg.eigh(torch.cov(vectors.T))  # ascending
    share = values[-COMPONENTS:].sum() / values.sum()
    print(f"  {used} codes in use; {COMPONENTS} components explain {share:.1%} of the vectors' variance")
    return Coder(vq, mean, directions[:, -COMPONENTS:])


def train_mdvae(
    features: dict[str, Tensor], kept: Tensor, shared: int, private: int, rng: np.random.Generator
) -> MDVAE:
    """An MDVAE of sequences of features `[N, T, F]` by modality, at the ticks kept, bool `[T]`."""
    modalities = [Modality(name, x.shape[-1], likelihood="normal") for name, x in features.items()]
    model = MDVAE(modalities, hidden=128, static=STATIC, shared=shared, private=private)
    model.fit_normalisation(model.batch({name: x[:, kept] for name, x in features.items()}))
    annealing = Annealing(beta=BETA, rounds=WARMUP)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        which = torch.from_numpy(rng.integers(len(features["video"]), size=(STREAMS, 1)))
        when = torch.from_numpy(rng.integers(TICKS - LENGTH + 1, size=(STREAMS, 1))) + torch.arange(LENGTH)
        batch = Batch(
            {name: x[which, when] for name, x in features.items()}, dict.fromkeys(features, kept[when])
        )
        # Most sequences have a gap like the experiment's; some miss one modality throughout.
        start = torch.from_numpy(rng.integers(-COVERED, LENGTH, size=(STREAMS, 1)))
        gap = (torch.arange(LENGTH) >= start) & (torch.arange(LENGTH) < start + COVERED)
        absent = torch.from_numpy(rng.random((STREAMS, 1)))
        hidden = {"video": gap | (absent < 0.1) & (len(features) > 1), "audio": absent > 0.9}
        fed = {name: seen & ~hidden[name] for name, seen in batch.available.items()}
        optimizer.zero_grad()
        model.loss(batch, fed, beta=annealing.at(step)).total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def restored(model: MDVAE, coder: Coder, x: dict[str, Tensor], covered: slice, masked: bool) -> Tensor:
    """The covered frames as decoded by the model, `[N, 6, 64, 64]`; x is a window of the clip."""
    if masked:
        x = x | {"video": x["video"].clone()}
        x["video"][:, covered] = torch.nan
    return coder.decode(model.decode(model.encode(x), ["video"])["video"][:, covered])


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB re full scale 1, `[…, height, width]` → `[…]`."""
    return -10 * torch.log10((estimate - truth).square().mean((-2, -1)))


def table(rows: dict[str, Tensor], truth: Tensor, region: str) -> None:
    """Print both measures of restored frames `[N, 6, 64, 64]`, on the region and on the whole frame."""
    place = REGIONS[region]
    measures = [(measure, crop) for measure in (psnr, ssim) for crop in (place, (slice(None), slice(None)))]
    found = {
        name: [measure(x.clamp(0, 1)[..., *crop], truth[..., *crop]).mean(1) for measure, crop in measures]
        for name, x in rows.items()
    }
    for given in INPUTS:
        with_sound, without = (
            found[f"VQ-MDVAE, {name}, {given}"] for name in ("video and sound", "video only")
        )
        found[f"gain from sound, {given}"] = [a - b for a, b in zip(with_sound, without, strict=True)]
    columns = "".join(
        f"{f'{measure}, {where}':>18}" for measure in ("PSNR", "SSIM") for where in (region, "whole")
    )
    print(f"\n{f'{region} covered':42}{columns}")
    for name, clips in found.items():
        cells = "".join(
            f"{x.mean():{9 + digits}.{digits}f} ± {x.std() / len(x) ** 0.5:.{digits}f}"
            for x, digits in zip(clips, (2, 2, 3, 3), strict=True)
        )
        print(f"{name:42}{cells}")


def draw(rows: dict[str, Tensor], clips: tuple[int, ...], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(rows), 1, figsize=(1.1 * COVERED * len(clips), 1.25 * len(rows)))
    for ax, (name, x) in zip(axes, rows.items(), strict=True):
        strip = torch.cat([torch.cat(list(x[clip]), 1) for clip in clips], 1)
        ax.imshow(strip.clamp(0, 1), cmap="gray", vmin=0, vmax=1)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        for spine in ax.spines.values():
            spine.set_visible(False)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110, bbox_inches="tight")  # including the row names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--regions", nargs="+", choices=tuple(REGIONS), default=tuple(REGIONS))
    parser.add_argument("--ticks", choices=tuple(EXCLUDED), default="test")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    began = time.perf_counter()

    def report(done: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s: {done}", flush=True)

    face_model = find_face_model()
    clips = [read(path, face_model) for path in sorted(args.folder.glob("grid_*.mpg"))]
    kept = torch.ones(TICKS, dtype=torch.bool)
    for excluded in (EXCLUDED["test"], EXCLUDED[args.ticks]):
        kept[excluded] = False
    copies = [augmented(clips, rng) for _ in range(COPIES)]
    training = Data(*(torch.cat(part) for part in zip(*copies, strict=True)))
    report(f"{len(clips)} clips, {len(clips) * int(kept.sum())} training ticks")

    clean = unchanged(clips)
    coders, features = {}, {}
    for name, x in training._asdict().items():
        plain = getattr(clean, name)
        samples = (v[:, kept].flatten(0, 1) for v in (x, plain))
        coders[name] = train_coder(name, *samples, *CODING[name], args.seed)
        features[name] = coders[name].encode(plain)
        report(f"VQ-VAE of {name}")

    models = {}
    for name, names, shared, private in (
        ("video only", ("video",), 24, 0),
        ("video and sound", ("audio", "video"), 16, 8),
    ):
        models[name] = train_mdvae({m: features[m] for m in names}, kept, shared, private, rng)
        report(f"VQ-MDVAE, {name}")

    gap = EXCLUDED[args.ticks]
    first = gap.start - (LENGTH - COVERED) // 2
    window = slice(first, first + LENGTH)
    covered = slice(gap.start - first, gap.stop - first)
    truth = clean.video[:, gap]
    along = torch.arange(1, COVERED + 1).view(1, -1, 1, 1) / (COVERED + 1)
    before, after = clean.video[:, gap.start - 1, None], clean.video[:, gap.stop, None]
    sound = coders["audio"].encode(clean.audio[:, window])
    for region in args.regions:
        corrupted = clean.video.clone()
        corrupted[:, gap, *REGIONS[region]] = GREY
        video = coders["video"].encode(corrupted[:, window])
        rows = {
            "corrupted": corrupted[:, gap],
            "linear interpolation": torch.lerp(before, after, along),
            "mean frame of the rest of the clip": clean.video[:, kept].mean(1, keepdim=True).expand_as(truth),
            "VQ-VAE": coders["video"].through(corrupted[:, gap]),
        }
        for given in INPUTS:
            for name, model in models.items():
                x = {"video": video} | ({"audio": sound} if "audio" in model.by_name else {})
                frames = restored(model, coders["video"], x, covered, given == "masked")
                rows[f"VQ-MDVAE, {name}, {given}"] = frames
        rows["VQ-VAE without the corruption"] = coders["video"].through(truth)
        table(rows, truth, region)
        if args.picture:
            shown = {
                "original": truth,
                "corrupted": rows["corrupted"],
                "VQ-VAE": rows["VQ-VAE"],
                "visual only": rows["VQ-MDVAE, video only, masked"],
                "audiovisual": rows["VQ-MDVAE, video and sound, masked"],
            }
            draw(shown, (0, 6), args.picture.with_stem(f"{args.picture.stem}_{region}"))
    report("done")


if __name__ == "__main__":
    main()
