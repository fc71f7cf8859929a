"""What this machine can train on."""

from collections.abc import Sequence

import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator


def check_accelerator(accelerator: str, devices: int | str | Sequence[int] = 1) -> None:
    """Refuses an accelerator that this machine lacks, or more of them than it has.

    Args:
        accelerator: Lightning's name of it.
        devices: how many, or which; of a CPU any number will do.

    Raises:
        ValueError: naming the key, the value and the way out.
    """
    here = {
        "cuda": CUDAAccelerator.auto_device_count(),
        "mps": MPSAccelerator.auto_device_count() if MPSAccelerator.is_available() else 0,
    }
    here["gpu"] = here["cuda"] or here["mps"]
    if accelerator not in here:
        return
    if not here[accelerator]:
        raise ValueError(
            f"trainer.accelerator={accelerator}: torch finds none on this machine; set trainer.accelerator=cpu, or auto"
        )
    wanted = devices if isinstance(devices, int) else 1 if isinstance(devices, str) else max(devices) + 1
    if wanted > here[accelerator]:
        raise ValueError(f"trainer.devices={devices}: this machine has {here[accelerator]}; set trainer.devices=-1")


def set_matmul_precision(precision: str) -> None:
    """Says how float32 products are computed on GPUs: `highest` in float32, `high` and `medium` in shorter numbers.

    Convolutions follow: cuDNN would compute them in TF32 whatever is said of matrix products.
    """
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"
