"""S-Net's forward pass with the compiled scan, and with the loop over tokens.

python benchmarks/s_net.py
"""

from __future__ import annotations

import os
from functools import partial

import torch
from common import side_by_side, table

import src_models
from src_models.selective_scan import ENVIRONMENT_VARIABLE


def main() -> None:
    torch.manual_seed(0)
    network = src_models.create("s-net").eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(1, 1, 224, 224)
    outputs = {}

    def run(backend: str) -> None:
        os.environ[ENVIRONMENT_VARIABLE] = backend
        with torch.inference_mode():
            outputs[backend] = network(image)

    seconds = side_by_side({b: partial(run, b) for b in ("reference", "numba")}, rounds=3)
    slow, fast = seconds["reference"], seconds["numba"]
    difference = (outputs["reference"] - outputs["numba"]).abs().max().item()
    print(f"{torch.get_num_threads()} threads, 224x224, largest difference {difference:.1e}\n")
    table(
        [
            ("S-Net", "token loop", "numba", "ratio"),
            ("forward", f"{slow * 1e3:.0f} ms", f"{fast * 1e3:.0f} ms", f"{slow / fast:.1f}"),
        ]
    )


if __name__ == "__main__":
    main()
