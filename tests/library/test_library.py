"""softvq from other people's code: layers, trained models, a scikit-learn transformer; and its page, executed."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import ROOT, SMALL_MLP, run
from sklearn.base import clone

import softvq
from softvq import FeatureEncoder, SoftVQ, VectorQuantizer
from softvq.bottlenecks.codebook import uniform_unit_scaling

CODEBOOK = {
    "d": 6,
    "K": 5,
    "codebook_weight": 1.0,
    "commitment_weight": 0.25,
    "reduction": "mean",
    "codebook_init": uniform_unit_scaling,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "soft_vq" / "seed-0"
    run(folder, "data=digits", "bottleneck=soft_vq", *SMALL_MLP, "probes.save_latents=true")
    return folder


def digits() -> np.ndarray:
    from softvq.data.digits import Digits

    return np.asarray(Digits("digits").load().test_images[:])


# --- layers


def test_each_position_of_a_feature_map_is_quantized_as_a_vector_by_itself() -> None:
    quantizer = VectorQuantizer(**CODEBOOK)
    maps = torch.randn(3, 6, 2, 4)
    latent = quantizer(maps)
    assert latent.z.shape == maps.shape
    for b, y, x in ((0, 0, 0), (2, 1, 3)):
        alone = quantizer(maps[b, :, y, x][None])
        assert latent.taps["index"][b, y, x] == alone.taps["index"][0]
        torch.testing.assert_close(latent.z[b, :, y, x], alone.z[0])
    vectors = quantizer(maps.flatten(2).transpose(1, 2))
    assert torch.equal(vectors.z, latent.z.flatten(2).transpose(1, 2))
    torch.testing.assert_close(vectors.penalty, latent.penalty)


def test_noise_is_drawn_in_training_mode_alone() -> None:
    soft = SoftVQ(**CODEBOOK, sigma_eps=0.5)
    z_e, log_var = torch.randn(7, 6), torch.randn(7, 5)
    noisy = [soft(z_e, log_var=log_var).taps["posterior"] for _ in range(2)]
    assert not torch.equal(*noisy)
    soft.eval()
    calm = [soft(z_e, log_var=log_var).taps["posterior"] for _ in range(2)]
    assert torch.equal(*calm)


@pytest.mark.parametrize(
    ("z_e", "heads", "message"),
    [
        (torch.randn(2, 6), {}, r"also needs log_var \(width 5\)"),
        (torch.randn(2, 6), {"log_var": torch.randn(2, 5), "scale": torch.randn(2, 5)}, "takes no scale"),
        (torch.randn(2, 7), {"log_var": torch.randn(2, 5)}, r"z_e must have width 6, got shape \(2, 7\)"),
        (torch.randn(2, 3, 6), {"log_var": torch.randn(2, 5)}, "does not go with z_e"),
        (torch.randn(6), {"log_var": torch.randn(5)}, r"must be \(B, d\), \(B, M, d\) or \(B, d, H, W\)"),
    ],
)
def test_heads_that_do_not_fit_are_named(z_e: torch.Tensor, heads: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftVQ(**CODEBOOK, sigma_eps=0.0)(z_e, **heads)


# --- trained models


def test_a_loaded_model_gives_the_codes_that_the_run_saved(trained: Path) -> None:
    model = softvq.load(trained)
    assert not model.training
    with torch.inference_mode():
        codes = model.encode(torch.from_numpy(digits())).flatten(1).numpy()
    np.testing.assert_allclose(codes, np.load(trained / "latents.npz")["test"], rtol=1e-5, atol=1e-6)
    assert (model.config["seed"], model.metrics["bottleneck"]) == (0, "soft_vq")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 8, 8, 1), "must be uint8"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"must have shape \(B, 8, 8, 1\).*channels come last"),
        (torch.zeros(8, 8, 1, dtype=torch.uint8), r"must have shape"),
    ],
)
def test_images_that_are_scaled_already_or_shaped_otherwise_are_refused(
    trained: Path, images: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        softvq.load(trained).encode(images)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no finished run: .*metrics\.json is missing"):
        softvq.load(tmp_path)


def test_a_transformer_is_cloned_pickled_and_takes_flat_images(trained: Path) -> None:
    encoder, images = FeatureEncoder(trained), digits()
    codes = encoder.fit_transform(images)
    copy = pickle.loads(pickle.dumps(clone(encoder)))
    assert np.array_equal(copy.transform(images.reshape(len(images), -1)), codes)
    np.testing.assert_allclose(clone(encoder).set_params(batch_size=7).transform(images), codes, rtol=1e-4, atol=1e-5)
    assert len(pickle.dumps(encoder)) < 1000
    assert list(encoder.get_feature_names_out()[:2]) == ["z_e_0", "z_e_1"]
    assert codes.shape == (len(images), len(encoder.get_feature_names_out()))
    with pytest.raises(ValueError, match=r"tap is 'nothing', .* it has z_e, z_q"):
        FeatureEncoder(trained, tap="nothing").transform(images)


def test_the_page_on_the_library_does_what_it_says(trained: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    names = {"RUN": str(trained), "LOGS": str(trained.parents[1])}
    for block in blocks:
        exec(block, names)


@pytest.mark.process
def test_importing_the_package_loads_neither_torch_nor_lightning() -> None:
    check = "import softvq, sys; print({'torch', 'lightning', 'sklearn', 'wandb'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_pictures_are_read_as_a_run_on_their_folder_reads_them(tmp_path: Path) -> None:
    from PIL import Image

    from softvq.data.image_folder import ImageFolder

    chance = np.random.default_rng(0)
    for number, size in enumerate([(20, 30), (30, 20), (16, 16), (40, 40)]):
        folder = tmp_path / "pictures" / ("train", "test")[number % 2] / "a"
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(chance.integers(0, 256, (*size, 3), dtype=np.uint8))
        turned = Image.Exif()
        turned[274] = 6 if number < 2 else 1  # EXIF's orientation: on its side
        picture.save(folder / f"{number}.png", exif=turned)
    raw = ImageFolder("pictures", str(tmp_path / "pictures"), image_size=8).load()
    files = sorted((tmp_path / "pictures" / "train").rglob("*.png"))
    read = softvq.read_pictures(files, (8, 8, 3))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, raw.train_images[:])
    np.testing.assert_array_equal(softvq.read_pictures(str(files[0]), (8, 8, 3)), read[:1])
    assert softvq.read_pictures([], (8, 8, 3)).shape == (0, 8, 8, 3)
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"no\.png .*cannot be read as a picture"):
        softvq.read_pictures([tmp_path / "no.png"], (8, 8, 3))


def test_a_search_over_taps_and_runs_goes_through_the_transformer(trained: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    images = np.random.default_rng(0).integers(0, 256, (24, 64), dtype=np.uint8)
    labels = np.arange(24) % 2
    pipeline = make_pipeline(FeatureEncoder(trained), LogisticRegression(max_iter=20, tol=1.0))
    search = GridSearchCV(pipeline, {"featureencoder__tap": ["z_e", "z_q"]}, cv=2, error_score="raise")
    assert search.fit(images, labels).best_params_["featureencoder__tap"] in ("z_e", "z_q")
