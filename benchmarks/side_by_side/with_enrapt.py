"""MVAE and DMVAE of images and labels with enrapt: what a user writes."""

from networks import decoders, encoders

from enrapt.models import DMVAE, MVAE, Modality, fit


def modalities(kind, latent, private):
    encoder, decoder = encoders(kind), decoders(kind, {name: latent + private[name] for name in private})
    return [
        Modality(
            name,
            shape=shape,
            likelihood=likelihood,
            encoder=encoder[name],
            decoder=decoder[name],
            private=private[name],
        )
        for name, shape, likelihood in (
            ("image", (1, 28, 28), "bernoulli"),
            ("label", (10,), "categorical"),
        )
    ]


def mvae(kind, latent):
    return MVAE(modalities(kind, latent, {"image": 0, "label": 0}), latent=latent, rescale=True)


def dmvae(kind, shared, private):
    return DMVAE(modalities(kind, shared, private), shared=shared, rescale=True)


def train(model, image, label, batch, epochs, lr, folder, after_epoch):
    data = {"image": image, "label": label}
    fit(
        model,
        data,
        batch=batch,
        epochs=epochs,
        lr=lr,
        annealing="constant",
        device="cpu",
        folder=folder,
        progress=after_epoch,
    )


def label_of(model, image):
    return model.decode(model.encode({"image": image}))["label"]


def image_of(model, label):
    return model.decode(model.encode({"label": label}, samples=1))["image"][0]
