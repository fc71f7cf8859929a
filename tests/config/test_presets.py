"""Presets reach what they are for: every bottleneck on a network, one's own too, and nothing else."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from softvq.config.compose import CONF_DIR, compose, options
from softvq.config.resolvers import TABLE_OF_DATA

PRESETS = sorted((CONF_DIR / "preset").rglob("*.yaml"))
NAMED = sorted({preset.stem.split("-")[2] for preset in PRESETS if preset.stem.count("-") == 2})  # in some preset
ON_CONV = ("conv", "conv_spatial")


def plain(config):
    return OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(
    ("bottleneck", "network", "data"),
    [
        *((name, network, "svhn") for name in ["identity", *NAMED] for network in ON_CONV),
        ("vq", "conv", "mnist"),
    ],
)
def test_the_release_pads_and_starts_every_convolutional_model_alike(compose_train, bottleneck, network, data):
    chosen = (f"data={data}", f"network={network}", f"bottleneck={bottleneck}")
    released = compose_train("fidelity=released", *chosen).network
    for part in (released, released.encoder, released.decoder):
        assert part.padding == "same"
        assert part.joint_init == {"_target_": "torch.nn.init.normal_", "_partial_": True, "std": 0.05}


@pytest.mark.parametrize("bottleneck", ["identity", *NAMED])
def test_the_paper_pads_and_starts_every_convolutional_model_as_their_network_says(compose_train, bottleneck):
    paper = compose_train("data=svhn", f"bottleneck={bottleneck}").network
    for part in (paper, paper.encoder, paper.decoder):
        assert part.padding == "symmetric"
        assert part.joint_init == {"_target_": "torch.nn.init.xavier_uniform_", "_partial_": True}


@pytest.mark.parametrize("bottleneck", ["vq", "soft_vq"])
@pytest.mark.parametrize("network", ON_CONV)
def test_the_released_codebook_starts_truncated_on_both_convolutional_networks(compose_train, network, bottleneck):
    config = compose_train("fidelity=released", "data=svhn", f"network={network}", f"bottleneck={bottleneck}")
    assert config.bottleneck.codebook_init._target_ == "softvq.bottlenecks.codebook.truncated_normal_scaling"


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize(("data", "network"), [("mnist", "mlp"), ("mnist", "conv"), ("svhn", "conv_spatial")])
def test_the_untrained_encoder_is_the_plain_autoencoders(compose_train, data, network, fidelity):
    chosen = [f"fidelity={fidelity}", f"data={data}", f"network={network}"]
    untrained, identity = (plain(compose_train(*chosen, f"bottleneck={name}")) for name in ("untrained", "identity"))
    assert (untrained.pop("trained"), identity.pop("trained")) == (False, True)
    assert untrained == identity


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("bottleneck", ["identity", *NAMED])
def test_both_convolutional_networks_take_the_same_presets(compose_train, bottleneck, fidelity):
    chosen = (f"fidelity={fidelity}", "data=svhn", f"bottleneck={bottleneck}")
    dense, spatial = (plain(compose_train(*chosen, f"network={network}")) for network in ON_CONV)
    for config in (dense, spatial):
        for width in ("d", "patch"):  # the network's
            config["bottleneck"].pop(width, None)
    assert {**dense, "network": None} == {**spatial, "network": None}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of one's own configurations: a bottleneck, a network that extends `conv`, and one that extends none."""
    files = {
        "bottleneck/half.yaml": "_target_: half.Half\n",
        "network/wide.yaml": "defaults: [conv]\nencoder: {channels: [128, 256, 512, 1024]}\n",
        "network/wider.yaml": "defaults: [wide, _self_]\nd: 512\n",
        "network/other.yaml": "d: 8\nencoder: {_target_: other.Encoder}\ndecoder: {_target_: other.Decoder}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_bottleneck_of_ones_own_trains_the_released_network(own):
    config = compose("train", ["fidelity=released", "data=svhn", "bottleneck=half"], [own])
    assert plain(config.bottleneck) == {"_target_": "half.Half"}
    assert plain(config.network) == plain(
        compose("train", ["fidelity=released", "data=svhn", "bottleneck=identity"]).network
    )


@pytest.mark.parametrize("network", ["wide", "wider"])
@pytest.mark.parametrize(("bottleneck", "K"), [("soft_vq", 32), ("vq", 32)])
def test_a_network_of_ones_own_takes_the_presets_of_the_one_it_extends_and_stays_itself(own, network, bottleneck, K):
    chosen = ["fidelity=released", "data=arrays", "data.dir=x", f"bottleneck={bottleneck}", f"network={network}"]
    config = compose("train", chosen, [own])
    assert config.network.encoder._target_ == "softvq.networks.conv.ConvEncoder"
    assert config.network.encoder.channels == [128, 256, 512, 1024]
    assert config.network.d == {"wide": 256, "wider": 512}[network]
    assert (config.network.padding, config.network.joint_init.std) == ("same", 0.05)
    assert config.bottleneck.codebook_init._target_.endswith("truncated_normal_scaling")
    assert (config.bottleneck.K, config.trainer.max_steps) == (K, 10_000)  # of the SVHN notebook


def test_a_network_that_extends_none_takes_no_presets_of_a_network(own):
    config = compose("train", ["fidelity=released", "data=svhn", "bottleneck=vae", "network=other"], [own])
    assert plain(config.network) == {
        "d": 8,
        "encoder": {"_target_": "other.Encoder"},
        "decoder": {"_target_": "other.Decoder"},
    }


def test_every_preset_is_for_choices_that_there_are():
    places = {"data": options("data"), **dict.fromkeys(("table", "steps"), TABLE_OF_DATA.values())}
    places |= dict.fromkeys(("shape", "network", "body"), options("network"))
    assert {preset.parent.name for preset in PRESETS} == set(places)
    for preset in PRESETS:
        fidelity, place, *bottleneck = preset.stem.split("-")
        assert fidelity in options("fidelity")
        assert place in places[preset.parent.name]
        assert set(bottleneck) <= set(options("bottleneck"))
        assert len(bottleneck) == (preset.parent.name in ("table", "shape", "network"))
