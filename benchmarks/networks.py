"""Every network's inference beside MONAI's BasicUNet and DynUNet, measured in one run.

    python benchmarks/networks.py

Prints the time for one RGB image (CeLNet: three grey slices) in milliseconds, in both memory
formats and with batch norms folded; the share of this machine's convolution peak, measured in the
same run on a plain 3x3 convolution from 64 to 64 channels; and the peak memory of one image beyond
the loaded network, in a process of its own. Freed memory stays with the process, as in the command
and the dock.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import peers
import torch
from common import side_by_side, table
from torch.utils.flop_counter import FlopCounterMode

import src_models
from napari_seglite.runtime import process
from src_models.folding import fold

BFLOAT16 = "folded, channels last, bfloat16"
VARIANTS = ["as trained", "channels last", "folded", "folded, channels last"]


def has_bfloat16() -> bool:
    """Whether this processor has bfloat16 instructions; others emulate them slowly."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def network_and_input(name: str, size: int) -> tuple[Any, torch.Tensor]:
    """Return a network in evaluation mode and a random input ``(1, C, size, size)``."""
    card = src_models.card(name)
    channels, classes = card.parameters_at
    slices = [card.context_slices] if card.context_slices > 1 else []
    torch.manual_seed(0)
    network = src_models.create(name, channels, classes).eval()
    return network, torch.randn(1, *slices, channels, size, size)


def variant(network: Any, which: str) -> Any:
    """Return the network as one of `VARIANTS`."""
    if "folded" in which:
        network = fold(network)
    if "channels last" in which:
        network = network.to(memory_format=torch.channels_last)
    return network.bfloat16() if which == BFLOAT16 else network


def run(network: Any, image: torch.Tensor) -> None:
    """Run a network once, in its own dtype."""
    dtype = next(network.parameters()).dtype
    with torch.inference_mode():
        network(image.to(dtype))


def gflop(network: Any, image: torch.Tensor) -> float:
    """Return billions of floating-point operations of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return float(counter.get_total_flops()) / 1e9


def convolution(size: int, channels_last: bool) -> tuple[Callable[[], None], float]:
    """Return a call of a plain convolution, and its GFLOP."""
    conv = torch.nn.Conv2d(64, 64, 3, padding=1).eval()
    image = torch.randn(1, 64, size, size)
    if channels_last:
        image = image.to(memory_format=torch.channels_last)
        conv = conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda: run(conv, image), gflop(conv, image)


def peak_memory(name: str, size: int) -> float:
    """Return the peak memory of one image beyond the network, in megabytes, from a new process."""
    call = [sys.executable, __file__, "--memory", name, "--size", str(size)]
    return float(subprocess.check_output(call, text=True).split()[-1])


def print_memory(name: str, size: int) -> None:
    """Print what `peak_memory` returns; runs in the new process."""
    network, image = network_and_input(name, size)
    network = variant(network, VARIANTS[3])
    run(network, image[..., :64, :64])  # loads libraries, which are not part of the image's memory
    before = common.peak_memory()
    with process.keep_freed_memory():
        run(network, image)
    print(common.peak_memory() - before)


def measure(names: list[str], size: int, rounds: int) -> None:
    """Print the table for images of ``(size, size)`` pixels.

    Parameters
    ----------
    names : list of str
        Networks to time.
    size : int
        Height and width of the image.
    rounds : int
        Timed calls per network and variant.
    """
    plain = {last: convolution(size, last) for last in (False, True)}
    rows: list[tuple[str, ...]] = [
        ("network", "GFLOP", *(f"{v}, ms" for v in VARIANTS), "share of peak", "memory, MB")
    ]
    for name in names:
        network, image = network_and_input(name, size)
        work = gflop(network, image)
        calls: dict[str, Callable[[], object]] = {}
        for which in VARIANTS:
            built = variant(copy.deepcopy(network), which)
            calls[which] = partial(run, built, image)
        for last, (call, _) in plain.items():
            calls[f"peak {last}"] = call
        seconds = side_by_side(calls, rounds)
        peak = max(plain[last][1] / seconds[f"peak {last}"] for last in plain)
        best = min(seconds[which] for which in VARIANTS)
        cells = [f"{seconds[which] * 1e3:.0f}" for which in VARIANTS]
        share, memory = work / best / peak, peak_memory(name, size)
        rows.append((name, f"{work:.1f}", *cells, f"{share:.0%}", f"{memory:.0f}"))
    print(f"\n{size} x {size} pixels, {torch.get_num_threads()} threads\n")
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    peers.register_all()
    if arguments.memory:
        print_memory(arguments.memory, arguments.size)
        return
    if has_bfloat16():
        VARIANTS.append(BFLOAT16)
    else:
        print("This processor has no bfloat16 instructions, so bfloat16 is not measured.\n")
    names = arguments.networks or src_models.names()
    rows: list[tuple[str, ...]] = [("network", "parameters")]
    for name in names:
        network, _ = network_and_input(name, 32)
        rows.append((name, f"{sum(p.numel() for p in network.parameters()):,}"))
    table(rows)
    with process.keep_freed_memory():
        for size in arguments.sizes:
            measure(names, size, arguments.rounds)


if __name__ == "__main__":
    main()
