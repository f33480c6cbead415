"""S-Net's forward pass: its scan in place, with a copy for every direction, or token by token.

python benchmarks/s_net.py

*Processor* is the processor time of all threads.
"""

from __future__ import annotations

import os
import time
from functools import partial

import torch
from common import side_by_side, table

import src_models
from napari_seglite.runtime import process
from src_models import s_net
from src_models.folding import fold
from src_models.selective_scan import ENVIRONMENT_VARIABLE


def main() -> None:
    torch.manual_seed(0)
    network = fold(src_models.create("s-net").eval()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(1, 1, 224, 224)
    outputs = {}

    def run(name: str) -> None:
        os.environ[ENVIRONMENT_VARIABLE] = "reference" if name == "token loop" else "numba"
        s_net.can_scan_image = can_scan if name == "in place" else lambda *_: False
        with torch.inference_mode():
            outputs[name] = network(image)

    can_scan = s_net.can_scan_image
    ways = {name: partial(run, name) for name in ("token loop", "copies", "in place")}
    with process.keep_freed_memory():
        clock = side_by_side(ways, rounds=3)
        busy = side_by_side({name: ways[name] for name in list(ways)[1:]}, 9, time.process_time)
    expected = outputs["token loop"]
    difference = max((each - expected).abs().max().item() for each in outputs.values())
    print(f"{torch.get_num_threads()} threads, 224x224, largest difference {difference:.1e}\n")
    rows = [
        (k, f"{1e3 * v:.0f}", f"{1e3 * busy[k]:.0f}" if k in busy else "") for k, v in clock.items()
    ]
    table([("scan", "ms", "processor ms"), *rows])


if __name__ == "__main__":
    main()
