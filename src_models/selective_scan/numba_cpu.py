"""The selective scan on the CPU, in threads, with gradients.

Blocks of rows run side by side in a thread pool of our own, because Numba's default threading
layer must not be entered from two Python threads at once, as a plugin that segments while it
trains would. The kernels release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .kernels import backward, forward
from .lanes import WIDTH

# Rows per block at most (their states fit into the L1 cache) and at least.
WIDEST, NARROWEST = 64, WIDTH


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="seglite-scan")


def _for_each_block(
    batch: int, rows: int, groups: int, run: Callable[[int, int, int, int, int], None]
) -> int:
    """Call ``run(batch item, group, block, first row, rows)`` for every block, in threads.

    Returns the number of blocks of a group.
    """
    per_group, threads = rows // groups, torch.get_num_threads()
    width = _block_width(batch * groups, per_group, threads)
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


def _block_width(sequences: int, rows: int, threads: int) -> int:
    """Rows per block: as many as fit the cache, fewer where threads would have nothing to do."""
    width = WIDEST
    while width > NARROWEST and sequences * -(-rows // width) < threads:
        width //= 2
    return width


def _by_token(tensor: Tensor) -> np.ndarray:
    """Return ``(..., rows, L)`` as float32 ``(..., L, rows)``, tokens one after the other."""
    turned = tensor.detach().to(torch.float32).transpose(-2, -1)
    return np.asarray(turned.contiguous().numpy())


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().to(torch.float32).contiguous().numpy())


def _by_row(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).transpose(-2, -1)


def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor, soft: bool
) -> Tensor:
    u_, delta_, B_, C_ = (_by_token(t) for t in (u, delta, B, C))
    A_, D_, bias_ = (_array(t) for t in (A, D, bias))
    y = np.empty_like(u_)

    def run(item: int, group: int, _: int, first: int, rows: int) -> None:
        forward(
            *(u_[item], delta_[item], A_, B_[item, group], C_[item, group], D_, bias_, soft),
            *(y[item], first, rows),
        )

    _for_each_block(u.shape[0], u.shape[1], B.shape[1], run)
    return _by_row(y)


def _scan_backward(
    dy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    bias: Tensor,
    soft: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dy_, u_, delta_, B_, C_ = (_by_token(t) for t in (dy, u, delta, B, C))
    A_, D_, bias_ = (_array(t) for t in (A, D, bias))
    batch, rows, _ = u.shape
    groups = B.shape[1]
    most = -(-(rows // groups) // NARROWEST)
    du, ddelta = np.empty_like(u_), np.empty_like(u_)
    dA = np.empty((batch, *A_.shape), np.float32)
    dB, dC = (np.empty((most, *B_.shape), np.float32) for _ in range(2))

    def run(item: int, group: int, block: int, first: int, count: int) -> None:
        backward(
            *(u_[item], delta_[item], A_, B_[item, group], C_[item, group], D_, bias_, soft),
            *(dy_[item], du[item], ddelta[item], dA[item]),
            *(dB[block, item, group], dC[block, item, group], first, count),
        )

    blocks = _for_each_block(batch, rows, groups, run)
    dD = np.einsum("blr,blr->r", dy_, u_, optimize=True)
    return (
        *(_by_row(du), _by_row(ddelta), torch.from_numpy(dA.sum(0))),
        *(_by_row(dB[:blocks].sum(0)), _by_row(dC[:blocks].sum(0))),
        *(torch.from_numpy(dD), torch.from_numpy(ddelta.sum((0, 1)))),
    )


class _NumbaScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        ctx.soft = inputs[-1]
        ctx.save_for_backward(*inputs[:-1])
        return _scan(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs: list[Any] = [*ctx.saved_tensors, ctx.soft]
        return (*_scan_backward(gradients[0], *inputs), None)


# The same as operators of torch's own kind, which torch.compile and torch.export take as one node
# instead of stumbling over NumPy. Not used otherwise: calling one loads all of torch's compiler.
_scan_operator = torch.library.custom_op("seglite::selective_scan", _scan, mutates_args=())
_scan_backward_operator = torch.library.custom_op(
    "seglite::selective_scan_backward", _scan_backward, mutates_args=()
)


@_scan_operator.register_fake
def _(u: Tensor, *_: Any) -> Tensor:
    return _like(u)


@_scan_backward_operator.register_fake
def _(dy: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, C, D, bias, _soft = inputs
    turned = (_like(u), _like(delta), torch.empty_like(A), _like(B), _like(C))
    return (*turned, torch.empty_like(D), torch.empty_like(bias))


def _like(tensor: Tensor) -> Tensor:
    """An empty tensor of the same shape with one token after the other."""
    return torch.empty_like(
        tensor.transpose(-2, -1), memory_format=torch.contiguous_format
    ).transpose(-2, -1)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.soft = inputs[-1]
    ctx.save_for_backward(*inputs[:-1])


def _differentiate(ctx: Any, dy: Tensor) -> Any:
    return (*_scan_backward_operator(dy, *ctx.saved_tensors, ctx.soft), None)


_scan_operator.register_autograd(_differentiate, setup_context=_remember)


def selective_scan_numba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Scan on the CPU in float32; arguments as in `src_models.selective_scan.selective_scan`.

    Fastest where ``u.transpose(1, 2)`` and its like are contiguous; so is what is returned.
    """
    out_dtype = u.dtype
    bias = D.new_zeros(D.shape) if delta_bias is None else delta_bias
    inputs = [t.float() for t in (u, delta, A, B, C, D, bias)]
    if torch.compiler.is_compiling():
        return _scan_operator(*inputs, delta_softplus).to(out_dtype)
    scanned: Tensor = _NumbaScan.apply(*inputs, delta_softplus)
    return scanned.to(out_dtype)


def needs_compiling(training: bool) -> bool:
    """Whether neither this process nor the cache on disk holds the compiled kernels."""
    kernels: tuple[Any, ...] = (backward, forward) if training else (forward,)
    for kernel in kernels:
        if not kernel.signatures:
            cached = Path(kernel.stats.cache_path or ".")
            if not any(cached.glob(f"kernels.{kernel.__name__}-*.nbc")):
                return True
    return False


def warm_up(training: bool) -> None:
    """Compile the kernels, or load them from the cache on disk."""
    u = torch.ones(1, 2, 3, requires_grad=training)
    vectors = torch.ones(1, 1, 2, 3)
    y = selective_scan_numba(u, u, -torch.ones(2, 2), vectors, vectors, torch.ones(2))
    if training:
        y.sum().backward()
