"""Every network's logits on the device against those of the CPU.

The CPU computes with the network as it was trained, in float32; the device with the network as the
engine runs it, folded and with channels last. So on a CPU this checks the folding.

A number of p significant bits is wrong by up to u = 2^-p of its size. Over the hundred or so layers
of a network such errors add up like a random walk, to about 10 u, and the worst of many pixels is
some standard deviations out; but the range of the logits is several of theirs, too. So 16 u of the
range is allowed: 6.25 % for bfloat16 (p = 8), 0.8 % for float16 and TF32 (p = 11). For float32 it
would be 1e-6; Winograd's transforms and the order of long sums cost more, and 2e-4 is allowed.

Half precision is autocast's: convolutions and products compute in it, while weights, statistics of
norms and what leaves it by itself, such as the scan, stay in float32.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_seglite.runtime import devices
from src_models.folding import fold

from .pictures import Subject, subjects
from .report import Rows
from .runs import Settings
from .timing import tensor_cores

FLOAT32, TF32 = "float32", "float32 (TF32)"
TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Largest deviation of any pixel, as a share of the range of the logits.
BOUNDS = {FLOAT32: 2e-4, TF32: 16 * 2**-11, "bfloat16": 16 * 2**-8, "float16": 16 * 2**-11}
SIZES = {True: (256, 320), False: (64, 96)}


def run(settings: Settings, rows: Rows) -> None:
    """Compare every network and every built-in checkpoint."""
    for subject in subjects(settings):
        if rows.enough_time(subject.name):
            with rows.attempt(subject.name):
                compare(subject, settings, rows)
            devices.release(settings.device)
    if not rows.all:
        rows.failed("networks", f"there is none of {', '.join(settings.networks)}")


def compare(subject: Subject, settings: Settings, rows: Rows) -> None:
    """Add a row for each precision of a network."""
    frames = subject.frames(1, *SIZES[settings.on_gpu], settings.seed)
    largest = Largest()
    with torch.no_grad(), largest:
        own = subject.network(frames).float()
    for precision, bound in BOUNDS.items():
        name = f"{subject.name}, {precision}"
        if precision == TF32 and not settings.on_gpu:
            rows.skipped(name, "needs CUDA")
            continue
        half = TYPES.get(precision)
        if half is not None and largest.value > torch.finfo(half).max:
            rows.skipped(name, f"values inside reach {largest.value:.2g}, more than it holds")
            continue
        with rows.attempt(name), tensor_cores(precision == TF32):
            network = prepared(subject.network, settings.device)
            other = predicted(network, frames, settings.device, half)
            worst, mean = deviations(own, other)
            facts = {"mean deviation": mean, "range": float(own.max() - own.min())}
            note = f"mean {mean:.2g}"
            rows.measured(name, worst, "of the range", note, at_most=bound, facts=facts)


class Largest(TorchDispatchMode):
    """Finds the largest value that an operator gives inside a network.

    Attributes
    ----------
    value : float
        Its size; 0 before anything ran.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.value = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and look at what it gives."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                self.value = max(self.value, float(tensor.abs().max()))
        return out


def prepared(network: nn.Module, device: str) -> nn.Module:
    """Return a copy of a network on the device, as the engine runs it."""
    return devices.place(fold(deepcopy(network).eval()), device)


def predicted(
    network: nn.Module, frames: Tensor, device: str, half: torch.dtype | None = None
) -> Tensor:
    """Return a network's logits on the CPU in float32; `half` is autocast's precision, if any."""
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, half, enabled=half is not None):
        logits: Tensor = network(frames.to(device))
    return logits.float().cpu()


def deviations(own: Tensor, other: Tensor) -> tuple[float, float]:
    """Return the largest and the mean deviation, as shares of the range of the first."""
    apart = (own - other).abs() / (own.max() - own.min()).clamp(min=1e-12)
    return float(apart.max()), float(apart.mean())
