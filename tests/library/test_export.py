"""Models that are handed on: their files are loaded, and run by somebody else's program."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import zoo
from cells import SMALL_CONV, SMALL_MLP, run
from image_files import write_arrays

import softvq
from softvq.command.export import main
from softvq.library.export import CodeExtractor, export_run, write_onnx

NETWORKS = {
    "mlp": ("network=mlp", *SMALL_MLP),
    "conv": ("network=conv", *SMALL_CONV),
    "conv_spatial": ("network=conv_spatial", "network.d=3", *SMALL_CONV),
}


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    write_arrays(root / "own", shape=(16, 16, 3))
    own = ("data=arrays", f"data.dir={root / 'own'}", f"data.root={root}", "bottleneck=vq", "bottleneck.K=4")
    run(root / "run", *own, *NETWORKS[request.param])
    return root / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
def test_the_exported_encoder_gives_the_models_codes_for_any_number_of_images(trained: Path, tmp_path: Path) -> None:
    export_run(trained, tmp_path)
    model = softvq.load(trained)
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    for size in (1, 7):
        images = torch.randint(256, (size, *model.image_shape), dtype=torch.uint8)
        z_e, index = session.run(["z_e", "index"], {"images": images.numpy()})
        with torch.inference_mode():
            latent = model.latent(images)
        np.testing.assert_allclose(z_e, latent.taps["z_e"], rtol=1e-4, atol=1e-5)
        assert np.array_equal(index, latent.taps["index"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_export_loads_as_the_run_does_without_it(trained: Path, tmp_path: Path) -> None:
    export_run(trained, tmp_path)
    from_run, from_export = softvq.load(trained), softvq.load(tmp_path)
    assert from_run.state_dict().keys() == from_export.state_dict().keys()
    assert all(torch.equal(w, from_export.state_dict()[name]) for name, w in from_run.state_dict().items())
    assert (from_export.image_shape, from_export.pixel_offset) == (from_run.image_shape, from_run.pixel_offset)
    assert not from_export.training
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "encoder.onnx",
        "README.md",
    }
    assert softvq.load(tmp_path).metrics == json.loads((trained / "metrics.json").read_text())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_the_model_card_says_can_be_run_and_has_the_units_of_the_terminal(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_run(trained, tmp_path)
    card = (tmp_path / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    codes = []
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        names: dict[str, Any] = {}
        exec(block, names)
        codes.append(names["z_e"])
    assert [tuple(z_e.shape) for z_e in codes] == [tuple(codes[0].shape)] * 2
    accuracy = softvq.load(tmp_path).metrics["probes"]["clustering_accuracy"]
    assert f"| clustering accuracy (%) | {100 * accuracy:.2f} |" in card


# A method of each kind: state outside gradients, further heads, labels, a critic, a changed encoder, a package's.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "bottleneck", ["soft_vq", "delta_vae", "vq_ema", "dvib", "acai", "air_weight_norm", "soft_to_hard", "residual_vq"]
)
def test_an_exported_bottleneck_loads_and_gives_the_runs_codes(bottleneck: str, tmp_path: Path) -> None:
    run(tmp_path / "run", "data=digits", f"bottleneck={bottleneck}", *SMALL_MLP)
    export_run(tmp_path / "run", tmp_path / "out")
    trained, exported = softvq.load(tmp_path / "run"), softvq.load(tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "encoder.onnx"), providers=["CPUExecutionProvider"])
    images = torch.randint(256, (5, *trained.image_shape), dtype=torch.uint8)
    with torch.inference_mode():
        z_e = trained.encode(images)
        assert torch.equal(exported.encode(images), z_e)
    np.testing.assert_allclose(session.run(["z_e"], {"images": images.numpy()})[0], z_e, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bottleneck", zoo.TRAINED)
def test_every_bottlenecks_encoder_gives_the_same_codes_as_onnx(bottleneck: str, tmp_path: Path) -> None:
    model = zoo.model(bottleneck).eval()
    write_onnx(model, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    images = zoo.images(batch=5)
    with torch.inference_mode():
        z_e = model.encode(images)
    np.testing.assert_allclose(session.run(["z_e"], {"images": images.numpy()})[0], z_e, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_torch_can_export_the_encoder_for_batches_of_any_size(trained: Path) -> None:
    model = softvq.load(trained)
    images = torch.randint(256, (3, *model.image_shape), dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    program = torch.export.export(CodeExtractor(model), (images,), dynamic_shapes=shapes)
    more = torch.randint(256, (5, *model.image_shape), dtype=torch.uint8)
    torch.testing.assert_close(program.module()(more)["z_e"], model.encode(more))


@pytest.mark.slow
def test_torch_can_export_the_whole_model(trained: Path) -> None:
    model = softvq.load(trained)
    images = torch.randint(256, (3, *model.image_shape), dtype=torch.uint8)
    reconstruction, latent = torch.export.export(model, (images,)).module()(images)
    expected, own = model(images)
    torch.testing.assert_close(reconstruction, expected)
    torch.testing.assert_close(latent.taps, own.taps)


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["mlp"], indirect=True)
def test_whoever_may_read_one_exported_file_may_read_all(trained: Path, tmp_path: Path) -> None:
    assert main([str(trained), "--out", str(tmp_path)]) == 0
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "holds no finished run" in capsys.readouterr().err
    run(tmp_path / "raw", "data=digits", "bottleneck=raw")
    assert main([str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 1
    assert "has no weights to export" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors"])
def test_somebodys_own_files_are_not_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", "data=digits", "bottleneck=identity", *SMALL_MLP)
    own = tmp_path / "project" / name
    own.parent.mkdir()
    own.write_text("mine")
    assert main([str(tmp_path / "run"), "--out", str(own.parent)]) == 1
    assert f"holds {name} of somebody's own" in capsys.readouterr().err
    assert [(file.name, file.read_text()) for file in own.parent.iterdir()] == [(name, "mine")]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The exports of two runs that differ in their seeds, without ONNX."""
    root = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softvq.library.export.write_onnx", lambda *_: None)
        for seed in ("0", "1"):
            run(root / f"run-{seed}", "data=digits", "bottleneck=vq", "bottleneck.K=8", f"seed={seed}", *SMALL_MLP)
            export_run(root / f"run-{seed}", root / seed)
    return [root / "0", root / "1"]


def test_weights_that_are_not_those_of_the_description_are_refused(exports: list[Path], tmp_path: Path) -> None:
    """Another run's, as when an export is broken off in a folder of another one; and a damaged byte."""
    whole = (exports[0] / "model.safetensors").read_bytes()
    damaged = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])
    for content in ((exports[1] / "model.safetensors").read_bytes(), damaged, b"", whole[:-4]):
        (tmp_path / "config.json").write_bytes((exports[0] / "config.json").read_bytes())
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"model\.safetensors cannot be read: it is not the file that config\.json"
        ):
            softvq.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("config.bottleneck.K", 10**12, r"bottleneck\.codebook is \(8, 64\), here \(1000000000000, 64\)"),
        ("config.bottleneck.K", "x", "no exported model's"),
        ("config.bottleneck._target_", "torch.load", "which is no part of softvq"),
        ("config.network.encoder", None, "no exported model's"),
        ("image_shape", "abc", "no exported model's"),
        ("image_shape", [8, 8], "no exported model's"),
        ("pixel_variance", None, "no exported model's"),
        ("metrics", 5, "no exported model's"),
    ],
)
def test_a_description_that_was_changed_is_refused_in_a_line(
    key: str, value: object, refused: str, exports: list[Path], tmp_path: Path
) -> None:
    description = json.loads((exports[0] / "config.json").read_text())
    del description["provenance"]  # its checksum, as whoever changes it may do
    *above, last = key.split(".")
    node = description
    for name in above:
        node = node[name]
    node[last] = value
    (tmp_path / "config.json").write_text(json.dumps(description))
    (tmp_path / "model.safetensors").write_bytes((exports[0] / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=refused) as error:
        softvq.load(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("before", "after"), [('"seed": 0', '"seed": 7'), ('"clustering_accuracy": 0.', '"clustering_accuracy": 0.9')]
)
def test_a_digit_of_a_description_that_was_changed_shows(
    before: str, after: str, exports: list[Path], tmp_path: Path
) -> None:
    text = (exports[0] / "config.json").read_text()
    assert before in text
    (tmp_path / "config.json").write_text(text.replace(before, after))
    (tmp_path / "model.safetensors").write_bytes((exports[0] / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"config\.json cannot be read: its numbers are not those that were written"):
        softvq.load(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_export_that_is_broken_off_leaves_no_file_of_an_earlier_one_and_no_half_one(
    exports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(exports[0], out)
    (out / "encoder.onnx").write_bytes(b"the other run's")

    def broken_off(self: Any, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.onnx.ONNXProgram.save", broken_off)
    with pytest.raises(KeyboardInterrupt):
        export_run(exports[1].parent / "run-1", out)
    assert {file.name for file in out.iterdir()} == {"config.json", "model.safetensors"}
    assert softvq.load(out).config["seed"] == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1}', b"\xff"])
def test_a_damaged_description_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=str(tmp_path)):
        softvq.load(tmp_path)
