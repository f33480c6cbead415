"""The selective scan of the device against its reference, forward and backward.

The reference is a loop over tokens in plain torch, which takes a launch for every token and
operation. Sequences beyond `LOOP` tokens are therefore compared with the compiled scan of the CPU,
which itself is held against the loop here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src_models import selective_scan as scans

from .report import Rows
from .runs import Settings

FORWARD, BACKWARD = 1e-4, 1e-3
scan: Any = scans.selective_scan  # arguments are unpacked from a list below
# Beside a gradient that is 0, as that of A after a single step, nothing is relative.
ABSOLUTE = 1e-6
# Shapes, the longest sequence, and the longest for the loop.
SHAPES = {True: 30, False: 8}
LONGEST = {True: 262_144, False: 400}
LOOP = 1024
# Rows times states times tokens, at most.
LARGEST = 2**24


class Shape(NamedTuple):
    """The shape of a scan."""

    batch: int
    rows: int
    groups: int
    states: int
    tokens: int

    def __str__(self) -> str:
        return (
            f"{self.batch} x {self.rows} rows, {self.groups} groups, {self.states} states, "
            f"{self.tokens:,} tokens"
        )


def run(settings: Settings, rows: Rows) -> None:
    """Compare every back end of the device on random shapes."""
    names = [name for name in available(settings.device) if name != "reference"]
    if not names:
        rows.skipped("scan", f"{settings.device} has no back end but the reference")
    shapes = random_shapes(settings)
    if settings.on_gpu and "numba" in available("cpu"):
        chain = Shape(1, 16, 2, 16, LOOP)
        for way, value, bound in compare(chain, "numba", "cpu", settings.seed):
            rows.measured(f"numba against the loop, {way}", value, "relative", at_most=bound)
    for name in names:
        worst: dict[str, float] = {}
        for shape in shapes:
            title = f"{name}, {shape}"
            if not rows.enough_time(title):
                break
            with rows.attempt(title):
                for way, value, bound in compare(shape, name, settings.device, settings.seed):
                    worst[way] = max(worst.get(way, 0.0), value)
                    rows.measured(f"{title}, {way}", value, "relative", at_most=bound)
        for way, value in worst.items():
            rows.measured(f"{name}, worst of all, {way}", value, "relative")


def available(device: str) -> list[str]:
    """Return the back ends that run on a device."""
    names = []
    for name in scans.BACKENDS:
        try:
            names.append(scans.choose_backend(device, name))
        except ValueError:
            continue
    return names


def random_shapes(settings: Settings) -> list[Shape]:
    """Return shapes with the shortest and the longest sequence first, then ones in between."""
    rng = np.random.default_rng(settings.seed)
    longest = LONGEST[settings.on_gpu]
    lengths = [1, longest]
    while len(lengths) < SHAPES[settings.on_gpu]:
        lengths.append(round(math.exp(rng.uniform(0, math.log(longest)))))
    shapes = []
    for tokens in lengths:
        batch, groups, states = (int(rng.integers(1, most + 1)) for most in (3, 4, 16))
        most = max(1, min(32, LARGEST // (batch * groups * states * tokens)))
        shapes.append(Shape(batch, groups * int(rng.integers(1, most + 1)), groups, states, tokens))
    return shapes


def inputs(shape: Shape, seed: int) -> list[Tensor]:
    """Return random inputs of a scan, float32 on the CPU, see `selective_scan`."""
    random = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random)

    batch, rows, groups, states, tokens = shape
    return [
        normal(batch, rows, tokens),
        normal(batch, rows, tokens) - 1,
        -normal(rows, states).exp(),
        normal(batch, groups, states, tokens),
        normal(batch, groups, states, tokens),
        normal(rows),
        normal(rows),
    ]


def compare(shape: Shape, backend: str, device: str, seed: int) -> list[tuple[str, float, float]]:
    """Return forward and backward, each with its largest relative deviation and its bound."""
    reference, there = "reference", device
    if shape.tokens > LOOP:
        reference, there = "numba", "cpu"
    tensors = inputs(shape, seed)
    weights = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(seed + 1))
    own, own_gradients = both_ways(tensors, weights, reference, there)
    other, other_gradients = both_ways(tensors, weights, backend, device)
    pairs = zip(own_gradients, other_gradients, strict=True)
    backward = max(relative(a, b) for a, b in pairs)
    return [("forward", relative(own, other), FORWARD), ("backward", backward, BACKWARD)]


def both_ways(
    tensors: list[Tensor], weights: Tensor, backend: str, device: str
) -> tuple[Tensor, list[Tensor]]:
    """Return a scan and the gradients of a weighted sum of it, on the CPU."""
    arguments: Any = [t.to(device, copy=True).requires_grad_() for t in tensors]
    y = scan(*arguments, delta_softplus=True, backend=backend)
    (y * weights.to(device)).sum().backward()
    return y.detach().cpu(), [t.grad.cpu() for t in arguments]


def relative(own: Tensor, other: Tensor) -> float:
    """Return the largest deviation as a share of the largest value, beyond `ABSOLUTE`."""
    apart = (own - other).abs().max() - ABSOLUTE
    return float(apart.clamp(min=0) / own.abs().max().clamp(min=1e-12))
