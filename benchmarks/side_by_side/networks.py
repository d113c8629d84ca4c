"""Encoders and decoders of MNIST's images and labels, in plain PyTorch: the same for both libraries."""

from torch import nn

FEATURES = {"image": 256, "label": 64}  # of an encoder


def encoders(kind: str) -> dict[str, nn.Module]:
    """By modality, `[N, *shape]` → `[N, features]`; of a kind, `cnn` or `mlp`."""
    image = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, FEATURES["image"]),
        nn.ReLU(),
    )
    if kind == "mlp":
        image = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, FEATURES["image"]), nn.ReLU()
        )
    return {"image": image, "label": nn.Sequential(nn.Linear(10, FEATURES["label"]), nn.ReLU())}


def decoders(kind: str, latent: dict[str, int]) -> dict[str, nn.Module]:
    """By modality, its latents `[N, Z]` → logits `[N, *shape]`."""
    image = nn.Sequential(
        nn.Linear(latent["image"], 256),
        nn.ReLU(),
        nn.Linear(256, 32 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1),
    )
    if kind == "mlp":
        image = nn.Sequential(
            nn.Linear(latent["image"], 256),
            nn.ReLU(),
            nn.Linear(256, 512),
            nn.ReLU(),
            nn.Linear(512, 784),
            nn.Unflatten(1, (1, 28, 28)),
        )
    label = nn.Sequential(nn.Linear(latent["label"], 64), nn.ReLU(), nn.Linear(64, 10))
    return {"image": image, "label": label}
