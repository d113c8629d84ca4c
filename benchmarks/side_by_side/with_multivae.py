"""The same with MultiVae: what a user writes."""

from multivae.data.datasets import MultimodalBaseDataset
from multivae.models import DMVAE, MVAE, DMVAEConfig, MVAEConfig
from multivae.models.nn import BaseMultilatentEncoder
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from networks import FEATURES, decoders, encoders
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
from torch import nn

SHAPES = {"image": (1, 28, 28), "label": (10,)}
LIKELIHOODS = {"image": "bernoulli", "label": "categorical"}


class Encoder(BaseEncoder):
    def __init__(self, network, features, latent):
        super().__init__()
        self.network, self.latent_dim = network, latent
        self.embedding, self.log_variance = nn.Linear(features, latent), nn.Linear(features, latent)

    def forward(self, x):
        features = self.network(x)
        return ModelOutput(embedding=self.embedding(features), log_covariance=self.log_variance(features))


class PrivateEncoder(BaseMultilatentEncoder):
    def __init__(self, network, features, shared, private):
        super().__init__()
        self.network, self.latent_dim, self.style_dim = network, shared, private
        self.embedding, self.log_variance = nn.Linear(features, shared), nn.Linear(features, shared)
        self.style, self.style_log_variance = nn.Linear(features, private), nn.Linear(features, private)

    def forward(self, x):
        features = self.network(x)
        return ModelOutput(
            embedding=self.embedding(features),
            log_covariance=self.log_variance(features),
            style_embedding=self.style(features),
            style_log_covariance=self.style_log_variance(features),
        )


class Decoder(BaseDecoder):
    def __init__(self, network, latent):
        super().__init__()
        self.network, self.latent_dim = network, latent

    def forward(self, z):
        return ModelOutput(reconstruction=self.network(z))


def mvae(kind, latent):
    config = MVAEConfig(
        n_modalities=2,
        latent_dim=latent,
        input_dims=SHAPES,
        decoders_dist=LIKELIHOODS,
        uses_likelihood_rescaling=True,
        warmup=0,
    )
    decoder = decoders(kind, dict.fromkeys(SHAPES, latent))
    return MVAE(
        config,
        {name: Encoder(network, FEATURES[name], latent) for name, network in encoders(kind).items()},
        {name: Decoder(network, latent) for name, network in decoder.items()},
    )


def dmvae(kind, shared, private):
    config = DMVAEConfig(
        n_modalities=2,
        latent_dim=shared,
        input_dims=SHAPES,
        decoders_dist=LIKELIHOODS,
        uses_likelihood_rescaling=True,
        modalities_specific_dim=private,
    )
    decoder = decoders(kind, {name: shared + private[name] for name in private})
    return DMVAE(
        config,
        {
            name: PrivateEncoder(network, FEATURES[name], shared, private[name])
            for name, network in encoders(kind).items()
        },
        {name: Decoder(network, shared + private[name]) for name, network in decoder.items()},
    )


def train(model, image, label, batch, epochs, lr, folder, after_epoch):
    config = BaseTrainerConfig(
        output_dir=folder,
        per_device_train_batch_size=batch,
        num_epochs=epochs,
        learning_rate=lr,
        optimizer_params={"betas": (0.9, 0.99)},
        scheduler_cls="CosineAnnealingLR",
        scheduler_params={"T_max": epochs, "eta_min": 0.02 * lr},
        no_cuda=True,
    )
    data = MultimodalBaseDataset({"image": image, "label": label})
    BaseTrainer(model, data, training_config=config, callbacks=[after_epoch]).train()


def label_of(model, image):
    z = model.encode(MultimodalBaseDataset({"image": image}), ["image"], return_mean=True)
    return model.decode(z, "label")["label"].softmax(-1)


def image_of(model, label):
    return model.predict(MultimodalBaseDataset({"label": label}), ["label"], "image")["image"].sigmoid()
