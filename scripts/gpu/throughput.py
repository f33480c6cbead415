"""The pixels a second of every network, the tokens a second of every scan, and their roofline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import src_models
from napari_seglite.runtime import devices
from src_models import selective_scan as scans
from src_models.folding import fold

from . import timing, traffic
from .pictures import Subject, fresh
from .report import Rows
from .runs import Settings
from .scan import available


class Variant(NamedTuple):
    """A way to run a network; its weights are converted to the precision."""

    name: str
    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    way: str = "eager"


PLAIN = Variant("float32", channels_last=False)
LAST = Variant("float32, channels last")
HALF = Variant("bfloat16, channels last", torch.bfloat16)
GRAPH = Variant("bfloat16, channels last, CUDA graph", torch.bfloat16, way="graph")
COMPILED = Variant("bfloat16, channels last, compiled", torch.bfloat16, way="compiled")
scan: Any = scans.selective_scan  # arguments are unpacked from a list below
# Batches of squares: (number, side).
SINGLE = {True: ((1, 512), (1, 2048)), False: ((1, 32),)}
BATCHES = {True: ((1, 256), (16, 256), (64, 256)), False: ((2, 32),)}
TOKENS = {True: (3136, 65_536, 262_144), False: (256,)}
ROWS, STATES, GROUPS = {True: 512, False: 16}, 16, 4
# Seconds that compiling a network may take, and what a replayed graph may differ by, relatively.
COMPILING, REPLAYED = {True: 35.0, False: 20.0}, 1e-3


class Peaks:
    """What the device can do at most, measured.

    Parameters
    ----------
    device : str
        To measure.
    rows : Rows
        Get a row for each number.
    """

    def __init__(self, device: str, rows: Rows) -> None:
        self.bandwidth = timing.copy_bandwidth(device)
        rows.measured("copy", self.bandwidth / 1e9, "GB a second")
        self.operations = {}
        for dtype, name in ((torch.float32, "float32 (TF32)"), (torch.bfloat16, "bfloat16")):
            self.operations[dtype] = timing.product_peak(device, dtype)
            peak = self.operations[dtype] / 1e12
            rows.measured(f"matrix product, {name}", peak, "TFLOP a second")


def run(settings: Settings, rows: Rows) -> None:
    """Measure networks and scans as they are, then recorded, then compiled."""
    with timing.tensor_cores(True):
        peaks = Peaks(settings.device, rows)
        names = filter(settings.wants, src_models.names())
        networks = [fresh(name, settings.seed) for name in names]

        def all_networks(variant: Variant, sizes: Iterable[tuple[int, int]]) -> None:
            for subject in networks:
                for batch, side in sizes:
                    measure(subject, variant, batch, side, settings, peaks, rows)

        single, batches = SINGLE[settings.on_gpu], BATCHES[settings.on_gpu]
        for variant in (PLAIN, LAST, HALF):
            all_networks(variant, single)
        all_networks(HALF, batches)
        scan_speed(settings, rows)
        # A recording that fails may leave the device unusable, and compiling takes longest.
        all_networks(GRAPH, (*single, *batches))
        all_networks(COMPILED, single[:1])


def measure(
    subject: Subject,
    variant: Variant,
    batch: int,
    side: int,
    settings: Settings,
    peaks: Peaks,
    rows: Rows,
) -> None:
    """Add the speed of a network in a variant, with its share of the roofline."""
    name = f"{subject.name}, {batch} x {side} x {side}, {variant.name}"
    if variant.way == "graph" and not settings.on_gpu:
        rows.skipped(name, "needs CUDA")
        return
    if not rows.enough_time(name, COMPILING[settings.on_gpu] if variant.way == "compiled" else 0):
        return
    with rows.attempt(name, memory_may_lack=True), torch.no_grad():
        _measure(name, subject, variant, (batch, side), settings, peaks, rows)
    devices.release(settings.device)


def _measure(
    name: str,
    subject: Subject,
    variant: Variant,
    size: tuple[int, int],
    settings: Settings,
    peaks: Peaks,
    rows: Rows,
) -> None:
    batch, side = size
    network = prepared(subject.network, variant, settings.device)
    frames = subject.frames(batch, side, side).to(settings.device, variant.dtype)
    if variant.channels_last and frames.ndim == 4:
        frames = frames.contiguous(memory_format=torch.channels_last)
    operators = traffic.count(network, frames)
    call, deviation = way_of(network, frames, variant, settings)
    taken = timing.seconds(call, settings.device)
    least = traffic.roofline(operators, peaks.operations[variant.dtype], peaks.bandwidth)
    operations = sum(each.operations for each in operators)
    moved = sum(each.bytes for each in operators)
    note = (
        f"{1e3 * taken:.2f} ms, {operations / 1e9:.4g} GFLOP, {moved / 1e9:.3g} GB, "
        f"{least / taken:.0%} of the roofline"
    )
    facts = {
        "seconds": taken,
        "operations": operations,
        "bytes": moved,
        "operators": len(operators),
        "share of the roofline": least / taken,
    }
    speed = batch * side * side / taken / 1e9
    rows.measured(name, speed, "gigapixels a second", note, facts=facts)
    if deviation is not None:
        rows.measured(f"{name}, against eager", deviation, "relative", at_most=REPLAYED)


def prepared(network: nn.Module, variant: Variant, device: str) -> nn.Module:
    """Return a folded copy of a network on the device, in a variant's precision and format."""
    placed = fold(deepcopy(network)).to(device, variant.dtype)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    options: dict[str, Any] = {"memory_format": layout}
    return placed.to(**options)


def way_of(
    network: nn.Module, frames: Tensor, variant: Variant, settings: Settings
) -> tuple[Callable[[], object], float | None]:
    """Return the call to time, and how far a replayed graph is from the network itself."""
    if variant.way == "compiled":
        # Without a GPU the trace alone is looked at: generating code would take minutes.
        compiled = torch.compile(network, backend="inductor" if settings.on_gpu else "aot_eager")
        return partial(compiled, frames), None
    if variant.way == "graph":
        return captured(network, frames)
    return partial(network, frames), None


def captured(network: nn.Module, frames: Tensor) -> tuple[Callable[[], object], float]:
    """Record an inference as a CUDA graph.

    Returns
    -------
    callable
        Replays it.
    float
        Largest relative deviation from the network itself on other frames than it was recorded
        with, so that a graph that replays old numbers is noticed.
    """
    held, other = frames.clone(), frames.flip(-1)
    expected = network(other).float()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits: Tensor = network(held)
    held.copy_(other)
    graph.replay()
    torch.cuda.synchronize()
    apart = (logits.float() - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    return graph.replay, float(apart)


def scan_speed(settings: Settings, rows: Rows) -> None:
    """Add the tokens a second of every back end but the loop, forward and with gradients."""
    for backend in available(settings.device):
        for tokens in TOKENS[settings.on_gpu] if backend != "reference" else ():
            name = f"scan, {backend}, {tokens:,} tokens of {ROWS[settings.on_gpu]} rows"
            with rows.attempt(name, memory_may_lack=True):
                arguments = scan_inputs(tokens, ROWS[settings.on_gpu], settings.device)
                for way, call in (("forward", forward), ("forward and backward", both_ways)):
                    taken = timing.seconds(partial(call, arguments, backend), settings.device)
                    rows.measured(f"{name}, {way}", tokens / taken / 1e6, "megatokens a second",
                                  f"{1e3 * taken:.2f} ms")  # fmt: skip
            devices.release(settings.device)


def scan_inputs(tokens: int, rows: int, device: str) -> Any:
    """Return random inputs of a scan, which require gradients."""
    torch.manual_seed(0)
    shapes = (
        (1, rows, tokens), (1, rows, tokens), (rows, STATES),
        (1, GROUPS, STATES, tokens), (1, GROUPS, STATES, tokens), (rows,),
    )  # fmt: skip
    tensors = [torch.randn(shape) for shape in shapes]
    tensors[1] -= 2
    tensors[2] = -tensors[2].exp()
    return [t.to(device).requires_grad_() for t in tensors]


def forward(arguments: Any, backend: str) -> None:
    """Scan without gradients."""
    with torch.no_grad():
        scan(*arguments, delta_softplus=True, backend=backend)


def both_ways(arguments: Any, backend: str) -> None:
    """Scan, and compute all gradients."""
    y = scan(*arguments, delta_softplus=True, backend=backend)
    torch.autograd.grad(y.sum(), arguments)
