"""Settings and folders that do not fit are named, with the way out, before training."""

import re
from pathlib import Path

import pytest
from cells import SMALL_MLP, make_cell

from softvq.data.source import DataError
from softvq.run.build import ConfigError
from softvq.run.check import check_cell


def test_the_validation_protocol_needs_images_set_aside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"probes\.part=validation needs images set aside; set data\.val_fraction"):
        check_cell(make_cell(tmp_path, "data=digits", "bottleneck=soft_vq", "probes=validation", *SMALL_MLP))
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


# What the parts themselves refuse; values of the wrong kind are the matter of tests/reliability.
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bottleneck.K=1", "bottleneck.K must be at least 2, got 1"),
        ("bottleneck.sigma_eps=-0.1", "bottleneck.sigma_eps must be at least 0, got -0.1"),
        ("bottleneck.commitment_weight=-1", "bottleneck.commitment_weight must be at least 0, got -1"),
        ("network=conv", "need at least 16 x 16 pixels, got 8 x 8; use network=conv_small or mlp"),
        ("network=pixels", "bottleneck=raw and network=pixels belong together, got bottleneck=soft_vq"),
        ("trainer.accelerator=gpv", "trainer.accelerator must be one of auto, cpu, gpu, cuda, mps, got 'gpv'"),
        ("trainer.cuda_graph=maybe", "trainer.cuda_graph must be true, false or auto, got 'maybe'"),
        ("data.val_fraction=1.5", "data.val_fraction must be at least 0 and below 1, got 1.5"),
        ("probes.tap=z_x", "probes.tap is 'z_x'"),
    ],
)
def test_settings_that_do_not_fit_are_named_before_training(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_cell(make_cell(tmp_path, "data=digits", "bottleneck=soft_vq", override))
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(("precision", "devices"), [(32, 1), (32, -1), ("16-mixed", "auto"), ("bf16", "[0,1]")])
def test_what_lightning_takes_is_no_fault(precision: int | str, devices: int | str, tmp_path: Path) -> None:
    make_cell(tmp_path, "data=digits", f"trainer.precision={precision}", f"trainer.devices={devices}")


def test_all_settings_of_the_wrong_kind_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"seed must .*\n  trainer\.max_steps must .*\n  trainer\.devices must "):
        make_cell(tmp_path, "data=digits", "seed=abc", "trainer.max_steps=-1", "trainer.devices=0")


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        check_cell(
            make_cell(tmp_path, "data=digits", "probes.tap=z_x", "network=conv", "optimizer._target_=torch.optim.LBFGS")
        )
    assert "network=conv" in str(error.value)
    assert "optimizer._target_=torch.optim.LBFGS does not fit this training; choose one of " in str(error.value)


def test_missing_data_are_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_images\.npy"):
        check_cell(make_cell(tmp_path / "run", "data=arrays", f"data.dir={tmp_path}"))
