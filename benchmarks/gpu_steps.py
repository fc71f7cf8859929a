"""Milliseconds of a training step on a GPU: run by Python, captured, of several seeds at once, in each precision.

The images are random, and only training counts. Results are written after each way, so that a run that is broken off
leaves what it has measured.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import torch
from seeds import on_random_images, seconds_per_step
from turns import machine

from softvq.training.devices import set_matmul_precision

NETWORKS = ("mlp", "conv")
PRECISIONS = {  # Lightning's, and that of float32 products
    "float32": ("32-true", "highest"),
    "TF32": ("32-true", "high"),
    "bfloat16": ("bf16-mixed", "highest"),
}
WAYS = {
    "run by Python": (1, False),
    "captured": (1, True),
    "4 seeds at once": (4, True),
    "16 seeds at once": (16, True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="JSON file that is written")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--bottleneck", default="soft_vq")
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--warm", type=int, default=200, help="steps at the start that do not count")
    parser.add_argument("--seconds", type=float, default=120, help="no further way is begun after so many")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    ends = time.monotonic() + args.seconds
    device = torch.cuda.get_device_name() if args.device == "gpu" else args.device
    found: dict[str, Any] = {"machine": machine(), "device": device, "bottleneck": args.bottleneck, "ways": []}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for network, (precision, (lightning, products)) in product(NETWORKS, PRECISIONS.items()):
            config = on_random_images(Path(folder, network), network, [f"bottleneck={args.bottleneck}"])
            config.trainer.max_steps, config.trainer.precision = args.steps, lightning
            set_matmul_precision(products)
            for way, (S, captured) in WAYS.items():
                if time.monotonic() > ends:
                    return failed
                measured: dict[str, Any] = {"network": network, "precision": precision, "way": way, "seeds": S}
                try:
                    measured["ms"] = 1000 * seconds_per_step(config, S, args.device, args.warm, captured)
                except Exception as error:  # one way that fails leaves the others
                    measured["error"], failed = f"{type(error).__name__}: {error}", 1
                found["ways"].append(measured)
                args.out.write_text(json.dumps(found, indent=1))
                print(f"{network:5} {precision:9} {way:17} {measured.get('ms', measured.get('error'))}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
