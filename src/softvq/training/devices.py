"""The devices of this machine that training may use, and the processes of a run on several of them."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.plugins.environments import LightningEnvironment

from softvq.machine import cores

GRACE_S = 10.0  # for the first process to notice by itself that another one has died
END_S = 5.0  # for the others to end by themselves when training has


def check_accelerator(accelerator: str, devices: int | str | Sequence[int] = 1) -> None:
    """Refuses an accelerator that this machine lacks, or more devices than it has: of a CPU, more than it has cores.

    Args:
        accelerator: Lightning's name of it.
        devices: how many, which, -1 for all, or `auto`.

    Raises:
        ValueError: naming the key, the value and the way out.
    """
    here = {
        "cuda": CUDAAccelerator.auto_device_count(),
        "mps": MPSAccelerator.auto_device_count() if MPSAccelerator.is_available() else 0,
        "cpu": cores(),
    }
    here["gpu"] = here["cuda"] or here["mps"]
    if accelerator != "auto" and not here[accelerator]:
        raise ValueError(
            f"trainer.accelerator={accelerator}: torch finds none on this machine; set trainer.accelerator=cpu, or auto"
        )
    chosen = accelerator if accelerator != "auto" else "gpu" if here["gpu"] else "cpu"
    if chosen == "cpu" and (devices == -1 or not isinstance(devices, int | str)):
        raise ValueError(
            f"trainer.devices={_typed(devices)}: on a CPU it is a number of processes; set trainer.devices=1, "
            f"or up to {here['cpu']} here"
        )
    wanted = devices if isinstance(devices, int) else 1 if isinstance(devices, str) else max(devices) + 1
    if wanted > here[chosen]:
        there = f"{here[chosen]} cores for a run" if chosen == "cpu" else here[chosen]
        way = f"{here[chosen]} or less" if chosen == "cpu" else "-1"
        raise ValueError(f"trainer.devices={_typed(devices)}: this machine has {there}; set trainer.devices={way}")


def _typed(devices: int | str | Sequence[int]) -> str:
    """The setting as it is typed on the command line."""
    return str(devices) if isinstance(devices, int | str) else f"[{','.join(str(number) for number in devices)}]"


def set_matmul_precision(precision: str) -> None:
    """Says how float32 products are computed on GPUs: `highest` in float32, `high` and `medium` in shorter numbers.

    Convolutions follow: cuDNN would compute them in TF32 whatever is said of matrix products.
    """
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"


class DeviceProcesses(LightningEnvironment):
    """Tells Lightning which process of a run this is, and has the first one start the others.

    Lightning's own way is to start the command line once more for each device, which in a sweep is the whole sweep,
    and to take any LOCAL_RANK that it finds in the environment for its own.

    Args:
        rank: of this process; 0 for the first or only one.
        port: at which the processes meet; None for one that is free.
        start: starts the others, given the number of devices and the port.
    """

    def __init__(self, rank: int, port: int | None, start: Callable[[int, int], list[subprocess.Popen[bytes]]]) -> None:
        super().__init__()
        self.rank, self.start = rank, start
        self._main_port = port or -1  # with -1 Lightning finds a free one
        self.others: list[subprocess.Popen[bytes]] = []
        self.set_global_rank(rank)

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    def local_rank(self) -> int:
        return self.rank

    def node_rank(self) -> int:
        return 0

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Starts the other processes: Lightning calls this when training on several devices begins."""
        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Lightning changes the threads
        if self.rank == 0:
            self.others = self.start(num_devices, self.main_port)
            threading.Thread(target=self._watch, args=(self.others,), name="devices", daemon=True).start()

    def _watch(self, others: Sequence[subprocess.Popen[bytes]]) -> None:
        """Ends this process if another one dies and the collective calls do not break off: they would wait for ever."""
        while all(process.poll() in (None, 0) for process in others):
            if all(process.poll() == 0 for process in others):
                return
            time.sleep(0.5)
        time.sleep(GRACE_S)
        if others is self.others:  # training has not ended
            codes = {rank: process.poll() for rank, process in enumerate(others, start=1)}
            os.write(2, f"error: processes of other devices ended, by rank with status {codes}\n".encode())
            os._exit(1)

    def teardown(self) -> None:
        """Ends the other processes and forgets what connected them, so that this one may train another run."""
        others, self.others = self.others, []
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        end = time.monotonic() + END_S
        for process in others:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            os.environ.pop(name, None)
