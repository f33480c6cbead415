"""The selective scan: compiled for the CPU against the loop over tokens.

    python benchmarks/scan.py

512 rows, 16 states and 3,136 tokens are one S-Net block at 224x224.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from common import side_by_side, table

from src_models.selective_scan import selective_scan

scan: Any = selective_scan  # its arguments are unpacked from a list below

ROWS, STATES, GROUPS = 512, 16, 4


def inputs(tokens: int) -> Any:
    """Return random inputs of a scan over this many tokens."""
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
    return [t.requires_grad_() for t in tensors]


def forward(arguments: Any, backend: str) -> None:
    """Scan without gradients."""
    with torch.no_grad():
        scan(*arguments, delta_softplus=True, backend=backend)


def both_ways(arguments: Any, backend: str) -> None:
    """Scan and go back."""
    scan(*arguments, delta_softplus=True, backend=backend).sum().backward()


def main() -> None:
    print(f"{torch.get_num_threads()} threads, {ROWS} rows, {STATES} states\n")
    rows: list[tuple[str, ...]] = [("scan", "tokens", "token loop", "numba", "ratio")]
    for name, run, tokens in (
        ("forward", forward, 784),
        ("forward", forward, 3136),
        ("forward and backward", both_ways, 784),
    ):
        arguments = inputs(tokens)
        backends = ("reference", "numba")
        seconds = side_by_side({b: partial(run, arguments, b) for b in backends})
        slow, fast = (seconds[b] for b in backends)
        cells = (f"{slow * 1e3:.0f} ms", f"{fast * 1e3:.1f} ms", f"{slow / fast:.0f}")
        rows.append((name, f"{tokens:,}", *cells))
    table(rows)


if __name__ == "__main__":
    main()
