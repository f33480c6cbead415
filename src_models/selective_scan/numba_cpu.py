"""The selective scan on the CPU, in threads, with gradients.

Blocks of rows run side by side in a thread pool of our own: Numba's default threading layer must
not be entered from two Python threads at once, as happens when the plugin segments while it trains.
The kernels release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..compiled import is_compiled
from . import cross_kernels, kernels
from .lanes import WIDTH
from .scan_inputs import ScanInputs

# Numba's type hints know no arguments of compiled functions.
_forward: Callable[..., None] = kernels.forward
_backward: Callable[..., None] = kernels.backward
_cross_forward: Callable[..., None] = cross_kernels.forward
# Most rows per block (their states fit into the L1 cache) and fewest.
WIDEST, NARROWEST = 64, WIDTH


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="seglite-scan")


def _for_each_block(
    batch: int,
    rows: int,
    groups: int,
    run: Callable[[int, int, int, int, int], None],
    narrowest: int = NARROWEST,
) -> int:
    """Call ``run(batch item, group, block, first row, rows)`` for every block, in threads.

    Blocks have at least `narrowest` rows. Returns the number of blocks per group.
    """
    per_group, threads = rows // groups, torch.get_num_threads()
    width = _block_width(batch * groups, per_group, threads, narrowest)
    blocks = [
        (item, group, start // width, group * per_group + start, min(width, per_group - start))
        for item in range(batch)
        for group in range(groups)
        for start in range(0, per_group, width)
    ]
    if min(threads, len(blocks)) <= 1:
        for block in blocks:
            run(*block)
    else:
        for _ in _pool(min(threads, len(blocks))).map(lambda block: run(*block), blocks):
            pass
    return -(-per_group // width)


def _block_width(sequences: int, rows: int, threads: int, narrowest: int) -> int:
    """Return the rows per block: as many as fit the cache, fewer where threads would be idle."""
    width = WIDEST
    while width > narrowest and sequences * -(-rows // width) < threads:
        width //= 2
    return width


class _Arrays(NamedTuple):
    """The inputs of a scan as contiguous float32 arrays, with one token after the other.

    u and delta are ``(B, L, rows)``, B and C ``(B, groups, L, N)``.
    """

    u: np.ndarray
    delta: np.ndarray
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray
    bias: np.ndarray
    softplus: bool

    @classmethod
    def of(cls, inputs: Sequence[Any]) -> _Arrays:
        """Convert the fields of `ScanInputs`, all tensors given."""
        u, delta, A, B, C, D, bias, softplus = inputs
        return cls(
            *(_by_token(u), _by_token(delta), _array(A), _by_token(B), _by_token(C)),
            *(_array(D), _array(bias), softplus),
        )

    def sequence(self, item: int, group: int) -> tuple[Any, ...]:
        """Return the first eight arguments of a kernel."""
        return (
            *(self.u[item], self.delta[item], self.A, self.B[item, group], self.C[item, group]),
            *(self.D, self.bias, self.softplus),
        )


def _by_token(tensor: Tensor) -> np.ndarray:
    """Return ``(..., rows, L)`` as float32 ``(..., L, rows)``, tokens one after the other."""
    return _array(tensor.detach().to(torch.float32).transpose(-2, -1))


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().to(torch.float32).contiguous().numpy())


def _by_row(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).transpose(-2, -1)


def _scan(*inputs: Any) -> Tensor:
    """Scan the fields of `ScanInputs`, all tensors given."""
    arrays = _Arrays.of(inputs)
    y = np.empty_like(arrays.u)

    def run(item: int, group: int, _: int, first: int, rows: int) -> None:
        _forward(*arrays.sequence(item, group), y[item], first, rows)

    batch, _, rows = y.shape
    _for_each_block(batch, rows, arrays.B.shape[1], run)
    return _by_row(y)


def _scan_backward(dy: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    """Return the gradients of the seven tensors of `ScanInputs`."""
    arrays = _Arrays.of(inputs)
    dy_ = _by_token(dy)
    batch, _, rows = dy_.shape
    groups = arrays.B.shape[1]
    most = -(-(rows // groups) // NARROWEST)
    du, ddelta = np.empty_like(dy_), np.empty_like(dy_)
    dA = np.empty((batch, *arrays.A.shape), np.float32)
    dB, dC = (np.empty((most, *arrays.B.shape), np.float32) for _ in range(2))

    def run(item: int, group: int, block: int, first: int, count: int) -> None:
        _backward(
            *arrays.sequence(item, group),
            *(dy_[item], du[item], ddelta[item], dA[item]),
            *(dB[block, item, group], dC[block, item, group], first, count),
        )

    blocks = _for_each_block(batch, rows, groups, run)
    dD = np.einsum("blr,blr->r", dy_, arrays.u, optimize=True)
    return (
        *(_by_row(du), _by_row(ddelta), torch.from_numpy(dA.sum(0))),
        *(_by_row(dB[:blocks].sum(0)), _by_row(dC[:blocks].sum(0))),
        *(torch.from_numpy(dD), torch.from_numpy(ddelta.sum((0, 1)))),
    )


class _NumbaScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        _save(ctx, inputs, None)
        return _scan(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*_scan_backward(gradients[0], *ctx.saved_tensors, ctx.softplus), None)


# The same as operators of torch's own kind, which torch.compile and torch.export take as one node
# instead of failing on NumPy. Not used otherwise: the first call loads all of torch's compiler.
_TENSORS = ScanInputs._fields[:-1]
_SCHEMA = f"{', '.join(f'Tensor {name}' for name in _TENSORS)}, bool {ScanInputs._fields[-1]}"
_scan_operator = torch.library.custom_op(
    "seglite::selective_scan", _scan, mutates_args=(), schema=f"({_SCHEMA}) -> Tensor"
)
_scan_backward_operator = torch.library.custom_op(
    "seglite::selective_scan_backward",
    _scan_backward,
    mutates_args=(),
    schema=f"(Tensor dy, {_SCHEMA}) -> ({', '.join(['Tensor'] * len(_TENSORS))})",
)


@_scan_operator.register_fake
def _(*inputs: Any) -> Tensor:
    return _like(inputs[0])


@_scan_backward_operator.register_fake
def _(dy: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, C, D, bias, _softplus = inputs
    by_token = (_like(u), _like(delta), torch.empty_like(A), _like(B), _like(C))
    return (*by_token, torch.empty_like(D), torch.empty_like(bias))


def _like(tensor: Tensor) -> Tensor:
    """Return an empty tensor of the same shape with one token after the other."""
    return torch.empty_like(
        tensor.transpose(-2, -1), memory_format=torch.contiguous_format
    ).transpose(-2, -1)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor | None) -> None:
    ctx.softplus = inputs[-1]
    ctx.save_for_backward(*inputs[:-1])


def _differentiate(ctx: Any, dy: Tensor) -> Any:
    return (*_scan_backward_operator(dy, *ctx.saved_tensors, ctx.softplus), None)


_scan_operator.register_autograd(_differentiate, setup_context=_save)


def selective_scan_numba(inputs: ScanInputs) -> Tensor:
    """Scan on the CPU in float32.

    Fastest where ``u.transpose(1, 2)`` and its like are contiguous; so is the result.
    """
    D, bias = inputs.D, inputs.delta_bias
    tensors = [*inputs[:6], D.new_zeros(D.shape) if bias is None else bias]
    tensors = [t.float() for t in tensors]
    run: Callable[..., Tensor] = _NumbaScan.apply
    if torch.compiler.is_compiling():
        run = _scan_operator
    return run(*tensors, inputs.delta_softplus).to(inputs.u.dtype)


def scan_image(inputs: Sequence[np.ndarray], y: np.ndarray) -> None:
    """Write the scan of the arguments of `image_scan.ImageScan` into y; all are contiguous."""
    u, projected, weights, rates, skips, bias = inputs
    batch, height, width, channels = u.shape
    shared = [each.reshape(-1) for each in (weights, rates, skips, bias)]
    own = [each.reshape(batch, -1) for each in (u, projected, y)]
    sizes = (height, width, channels, weights.shape[1], rates.shape[1])

    def run(item: int, _group: int, _block: int, first: int, rows: int) -> None:
        pixels, given, result = (each[item] for each in own)
        _cross_forward(pixels, given, *shared, result, *sizes, first, rows)

    _for_each_block(batch, channels, 1, run, cross_kernels.PAIR)


def needs_compiling(training: bool) -> bool:
    """Whether the compiled kernels are missing, in this process and in the cache on disk."""
    needed = [kernels.forward, cross_kernels.forward, *([kernels.backward] if training else [])]
    return not all(is_compiled(kernel) for kernel in needed)


def warm_up(training: bool) -> None:
    """Compile the kernels, or load them from the cache on disk."""
    u = torch.ones(1, 2, 3, requires_grad=training)
    vectors = torch.ones(1, 1, 2, 3)
    inputs = ScanInputs(u, u, -torch.ones(2, 2), vectors, vectors, torch.ones(2))
    y = selective_scan_numba(inputs)
    if training:
        y.sum().backward()
    pixels, rows = np.ones((1, 1, 1, 32), np.float32), np.ones((4, 1, 32), np.float32)
    given = np.ones((1, 1, 1, 12), np.float32)
    scan_image([pixels, given, rows, -rows, pixels[0, 0, 0], rows[:, 0]], np.empty_like(pixels))
