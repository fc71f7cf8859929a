"""What one probing of a model measures, whatever the batches, and what it does without usable labels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.metrics import mean_squared_error

from softvq.data.digits import Digits
from softvq.data.prepared import prepare
from softvq.probes import decoded_images
from softvq.probes.classification import LogisticRegressionProbe, SoftmaxClassifier
from softvq.probes.clustering import KMeansProbe, WhitenedKMeansProbe
from softvq.probes.codes import Codes
from softvq.probes.drawing import Album
from softvq.probes.encode import encode
from softvq.probes.run import Probes
from softvq.run.build import build_model

ALL = ("identity", "vae", "info_dropout", "vq", "soft_vq")
Build = Callable[..., Any]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    whole = prepare(Digits("digits"), tmp_path_factory.mktemp("data"))
    return replace(
        whole,
        train_images=whole.train_images[:200],
        train_labels=whole.train_labels[:200],
        test_images=whole.test_images[:100],
        test_labels=whole.test_labels[:100],
    )


@pytest.fixture
def build(compose_train, arrays) -> Build:
    def built(bottleneck: str, *overrides: str) -> Any:
        config = compose_train("data=digits", f"bottleneck={bottleneck}", "network.d=4", *overrides)
        small = ["network.encoder.hidden=[16]", "network.decoder.hidden=[16]"]
        config.merge_with_dotlist([*small, *(["bottleneck.K=8"] if "K" in config.bottleneck else [])])
        return build_model(config, arrays.info.image_shape, arrays.info.pixel_variance)

    return built


def data_of(arrays: Any, eval_batch_size: int = 64) -> Any:
    return SimpleNamespace(probed_arrays=lambda part: arrays, eval_batch_size=eval_batch_size)


def probes(folder: Path, **changed: Any) -> Probes:
    settings: dict[str, Any] = {
        "probes": {
            "clustering": KMeansProbe(3, 300, 1e-4, 0),
            "classification": LogisticRegressionProbe(1.0, 1e-4, 50),
        },
        "tap": "z_e",
        "part": "test",
        "train_limit": None,
        "test_limit": None,
        "tsne_points": 20,
        "seed": 0,
        "jobs": 1,
        "album": Album(folder / "figures", "a model", ()),
        "latents_path": None,
        "progress": lambda name: None,
    }
    return Probes(**{**settings, **changed})


# --- encoding


@pytest.mark.parametrize("bottleneck", ALL)
def test_batches_do_not_change_what_is_measured(build, arrays, bottleneck):
    model = build(bottleneck)
    whole, batched = encode(model, arrays, "z_e", 1000), encode(model, arrays, "z_e", 7)
    np.testing.assert_allclose(batched.train, whole.train, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batched.test, whole.test, rtol=1e-5, atol=1e-6)
    assert batched.test_mse == pytest.approx(whole.test_mse, rel=1e-6)
    assert batched.health.compute() == pytest.approx(whole.health.compute(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bottleneck", ALL)
def test_error_and_codes_are_those_of_one_pass(build, arrays, bottleneck):
    model = build(bottleneck).eval()
    found = encode(model, arrays, "z_e", 30)
    with torch.no_grad():
        images = torch.from_numpy(np.array(arrays.test_images))
        reconstruction, latent = model(images)
    expected = mean_squared_error(model.pixels(images).flatten().double(), reconstruction.flatten().double())
    assert found.test_mse == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(found.test, latent.taps["z_e"].flatten(1), rtol=1e-5, atol=1e-6)
    assert found.test is found.test_z_e  # kept once


def test_the_tap_is_what_is_probed_and_z_e_is_kept_beside_it(build, arrays):
    found = encode(build("soft_vq"), arrays, "posterior", 50)
    assert found.test.shape == (100, 8)
    assert found.test_z_e.shape == (100, 4)
    np.testing.assert_allclose(found.test.sum(1), 1, rtol=1e-5)


def test_looking_for_a_tap_leaves_a_model_in_training(build, arrays, tmp_path):
    model = build("vae").train()
    probes(tmp_path).check(model, data_of(arrays))
    assert all(module.training for module in model.modules())


def test_a_tap_that_a_bottleneck_lacks_is_an_error(build, arrays, tmp_path):
    with pytest.raises(ValueError, match=r"probes\.tap is 'posterior', which .* does not have; it has z_e"):
        probes(tmp_path, tap="posterior").check(build("identity"), data_of(arrays))


# --- results


def test_results_carry_probes_error_and_health(build, arrays, tmp_path):
    results, encoded = probes(tmp_path).measure(build("vq"), data_of(arrays))
    assert results["probes"].keys() == {"clustering_accuracy", "clustering_nmi", "classification_accuracy"}
    assert results["reconstruction"]["test_normalized_mse"] == pytest.approx(
        encoded.test_mse / arrays.info.pixel_variance
    )
    assert results["diagnostics"] == encoded.health.compute()
    assert {"perplexity", "dead_codes", "active_units", "effective_rank"} <= results["diagnostics"].keys()


def test_ones_own_probe_is_one_more_entry(build, arrays, tmp_path):
    def width(codes: Codes, jobs: int, progress: Any) -> dict[str, float]:
        return {"width": codes.test.shape[1]}

    results, _ = probes(tmp_path, probes={"width": width}).measure(build("identity"), data_of(arrays))
    assert results["probes"]["width"] == 4


def test_limits_take_the_first_codes(build, arrays, tmp_path):
    seen = []

    def look(codes: Codes, jobs: int, progress: Any) -> dict[str, float]:
        seen.append(codes)
        return {}

    probes(tmp_path, probes={"look": look}, train_limit=70, test_limit=50).measure(build("vae"), data_of(arrays))
    assert (len(seen[0].train), len(seen[0].test)) == (70, 50)
    np.testing.assert_array_equal(seen[0].test_labels, arrays.test_labels[:50])


def test_limits_that_leave_too_few_codes_are_an_error(build, arrays, tmp_path):
    with pytest.raises(ValueError, match=r"probes\.test_limit=5: there are 5 test codes for 10 classes"):
        probes(tmp_path, test_limit=5).check(build("vae"), data_of(arrays))
    with pytest.raises(ValueError, match=r"probes\.train_limit=1 .*: the training codes have a single class"):
        probes(tmp_path, train_limit=1).check(build("vae"), data_of(arrays))


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"train_labels": None, "test_labels": None}, "the data have no labels"),
        ({"train_labels": np.full(200, 3)}, "the training codes have a single class"),
        ({"test_labels": np.full(100, 3)}, "the test codes have a single class"),
    ],
)
def test_without_usable_labels_the_rest_is_measured_and_drawn(build, arrays, tmp_path, capsys, lacking, said):
    given = data_of(replace(arrays, **lacking))
    measuring = probes(tmp_path, latents_path=tmp_path / "latents.npz")
    measuring.check(build("vae"), given)
    assert f"{said}: clustering, classification are left out" in capsys.readouterr().err
    results = measuring.run(build("vae"), given, steps=1, curve=tmp_path / "none.csv")
    assert set(results["probes"].values()) == {None}
    assert results["reconstruction"]["test_mse"] > 0
    assert (tmp_path / "figures" / "tsne.png").exists()
    with np.load(tmp_path / "latents.npz") as saved:
        assert saved["test"].shape == (100, 4)
        assert ("test_labels" in saved) == (given.probed_arrays("test").test_labels is not None)


def test_a_collapsed_code_is_named(build, arrays, tmp_path):
    model = build("identity")
    for head in model.encoder.heads.values():
        torch.nn.init.zeros_(head.weight)
    results = probes(tmp_path).run(model, data_of(arrays), steps=1, curve=tmp_path / "none.csv")
    assert results["collapsed"]["active_units"].startswith("0 of 4 units vary with the image")
    untrained = probes(tmp_path).run(model, data_of(arrays), steps=0, curve=tmp_path / "none.csv")
    assert untrained["reconstruction"] is None
    assert untrained["collapsed"] == {}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"train_limit": 0}, "probes.train_limit must be at least 1, got 0"),
        ({"train_limit": 1.5}, "probes.train_limit must be a whole number, got 1.5"),
        ({"tsne_points": 1}, "probes.tsne_points must be at least 2, got 1"),
        ({"seed": "x"}, "probes.seed must be a whole number, got 'x'"),
    ],
)
def test_a_wrong_setting_is_an_error(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        probes(tmp_path, **setting)


# --- pictures


def curve_file(folder: Path) -> Path:
    path = folder / "metrics.csv"
    path.write_text("step,train/loss,train/active_units\n2,3.5,4.0\n4,2.5,4.0\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("bottleneck", ["identity", "vae", "vq"])  # without a prior or a codebook, with either
def test_a_trained_run_has_all_its_figures(build, arrays, tmp_path, bottleneck):
    probes(tmp_path).run(build(bottleneck), data_of(arrays, 5), steps=4, curve=curve_file(tmp_path))
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    expected = {"tsne", "health", "curve", "reconstructions", "interpolation"}
    if "vq" in bottleneck:
        expected |= {"codebook_use", "codewords"}
    if bottleneck == "vae":
        expected |= {"samples"}
    assert drawn == expected
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert all(f"## {name}.png" in captions for name in drawn)


def test_without_training_only_codes_are_drawn(build, arrays, tmp_path):
    probes(tmp_path).run(build("identity"), data_of(arrays), steps=0, curve=tmp_path / "none.csv")
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {"tsne", "health"}


def test_what_drawing_raises_costs_no_result(build, arrays, tmp_path, capsys, monkeypatch):
    def fails(*arguments: Any) -> None:
        raise RuntimeError("no prior")

    monkeypatch.setattr(decoded_images, "prior_samples", fails)
    results = probes(tmp_path).run(build("vae"), data_of(arrays), steps=4, curve=curve_file(tmp_path))
    assert results["probes"]["clustering_accuracy"] > 0
    assert "figures could not be drawn: RuntimeError: no prior" in capsys.readouterr().err


def test_a_path_begins_and_ends_with_the_reconstructions(build, arrays):
    for bottleneck in ALL:
        model, images = build(bottleneck), np.array(arrays.test_images[:4])
        first, second = decoded_images.paths(model, images, steps=5)
        ends = decoded_images.reconstructed(model, images)
        for path, start, end in ((first, 0, 1), (second, 2, 3)):
            assert path.shape == (5, 8, 8, 1)
            np.testing.assert_allclose(path[0], ends[start], atol=1e-5)
            np.testing.assert_allclose(path[-1], ends[end], atol=1e-5)


def test_the_middle_of_a_path_is_the_decoded_middle_of_the_codes(build, arrays):
    model, images = build("identity").eval(), np.array(arrays.test_images[:2])
    with torch.no_grad():
        middle = model.decode(model.encode(torch.from_numpy(images)).mean(0, keepdim=True))[0]
    np.testing.assert_allclose(decoded_images.paths(model, images, steps=3)[0][1], middle.clamp(0, 1), atol=1e-6)


def test_a_quantizers_decoded_codewords_are_what_it_reconstructs(build, arrays):
    model, images = build("vq").eval(), np.array(arrays.test_images[:10])
    with torch.no_grad():
        index = model(torch.from_numpy(images))[1].taps["index"][:, 0]
    np.testing.assert_allclose(
        decoded_images.decoded_codewords(model, index.tolist()), decoded_images.reconstructed(model, images), atol=1e-6
    )


def test_samples_follow_the_seed_and_need_a_prior(build):
    model = build("vae")
    first, again, other = (decoded_images.prior_samples(model, 6, seed) for seed in (0, 0, 1))
    assert first.shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert decoded_images.prior_samples(build("identity"), 6, 0) is None


# --- protocols


@pytest.mark.parametrize(
    ("name", "clustering", "classifier"),
    [
        ("paper", KMeansProbe, SoftmaxClassifier),
        ("fast", KMeansProbe, LogisticRegressionProbe),
        ("validation", KMeansProbe, SoftmaxClassifier),
        ("berthelot", WhitenedKMeansProbe, LogisticRegressionProbe),
    ],
)
def test_protocols_build_their_probes_with_their_own_seed(compose_train, name, clustering, classifier):
    config = compose_train("data=digits", "seed=5", f"probes={name}", "probes.seed=7").probes
    assert isinstance(instantiate(config.classification), classifier)
    built = instantiate(config.clustering)
    assert type(built) is clustering
    assert (config.name, config.tap, built.seed) == (name, "z_e", 7)
