"""Devices that a machine does not have are named with the way out."""

import re

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from softvq.training.devices import check_accelerator


@pytest.mark.parametrize(
    ("accelerator", "devices", "message"),
    [
        ("gpu", 1, "trainer.accelerator=gpu: torch finds none on this machine; set trainer.accelerator=cpu, or auto"),
        ("cuda", "auto", "trainer.accelerator=cuda: torch finds none on this machine"),
    ],
)
def test_an_accelerator_that_is_not_there_is_named(
    accelerator: str, devices: int | str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", lambda: 0)
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: False)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_accelerator(accelerator, devices)


@pytest.mark.parametrize("devices", [3, [0, 2]])
def test_more_gpus_than_there_are_are_refused(devices: int | list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", lambda: 2)
    check_accelerator("gpu", 2)
    with pytest.raises(ValueError, match=r"this machine has 2; set trainer\.devices=-1"):
        check_accelerator("gpu", devices)
