"""The selective scan: every back end of a device compared with the loop over tokens.

    python benchmarks/scan.py
    python benchmarks/scan.py --device cuda

One S-Net block at 224x224 has 512 rows, 16 states and 3,136 tokens. The loop is left out where its
backward pass would take minutes.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from common import side_by_side, table

from src_models import selective_scan as scans

scan: Any = scans.selective_scan  # arguments are unpacked from a list below

ROWS, STATES, GROUPS = 512, 16, 4
LOOP = "reference"
# Pass, tokens, whether the loop is timed.
CASES = {
    "cpu": (
        ("forward", 784, True),
        ("forward", 3136, True),
        ("forward", 65_536, False),
        ("forward and backward", 784, True),
        ("forward and backward", 3136, False),
    ),
    "cuda": tuple(
        (way, tokens, tokens <= 65_536 if way == "forward" else tokens <= 3136)
        for way in ("forward", "forward and backward")
        for tokens in (3136, 16_384, 65_536, 262_144)
    ),
}


def inputs(tokens: int, device: str) -> Any:
    """Return random inputs of a scan over a number of tokens."""
    torch.manual_seed(0)
    shapes = (
        (1, ROWS, tokens),
        (1, ROWS, tokens),
        (ROWS, STATES),
        (1, GROUPS, STATES, tokens),
        (1, GROUPS, STATES, tokens),
        (ROWS,),
    )
    tensors = [torch.randn(shape) for shape in shapes]
    tensors[1] -= 2
    tensors[2] = -tensors[2].exp()
    return [t.to(device).requires_grad_() for t in tensors]


def forward(arguments: Any, backend: str) -> None:
    """Scan without gradients."""
    with torch.no_grad():
        scan(*arguments, delta_softplus=True, backend=backend)
    finish(arguments)


def both_ways(arguments: Any, backend: str) -> None:
    """Run forward and backward pass."""
    scan(*arguments, delta_softplus=True, backend=backend).sum().backward()
    finish(arguments)


def finish(arguments: Any) -> None:
    """Wait until the device is done; CUDA calls return at once."""
    if arguments[0].is_cuda:
        torch.cuda.synchronize()


def available(device: str) -> list[str]:
    """Return the back ends available on a device, the loop first."""
    names = []
    for backend in scans.BACKENDS:
        try:
            names.append(scans.choose_backend(device, backend))
        except ValueError:
            continue
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=tuple(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    where = f"{torch.get_num_threads()} threads"
    if arguments.device == "cuda":
        where = torch.cuda.get_device_name()
    print(f"{where}, {ROWS} rows, {STATES} states, ms (times as fast as the loop)\n")
    backends = available(arguments.device)
    rows: list[tuple[str, ...]] = [("scan", "tokens", *backends)]
    for name, tokens, loop in CASES[arguments.device]:
        tensors = inputs(tokens, arguments.device)
        way = forward if name == "forward" else both_ways
        chosen = [b for b in backends if loop or b != LOOP]
        seconds = side_by_side({b: partial(way, tensors, b) for b in chosen}, arguments.rounds)
        cells = []
        for backend in backends:
            if backend not in seconds:
                cells.append("")
                continue
            cell = f"{seconds[backend] * 1e3:.1f}"
            if loop and backend != LOOP:
                cell += f" ({seconds[LOOP] / seconds[backend]:.0f})"
            cells.append(cell)
        rows.append((name, f"{tokens:,}", *cells))
    table(rows)


if __name__ == "__main__":
    main()
