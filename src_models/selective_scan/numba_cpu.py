"""The selective scan compiled for the CPU with Numba, forward and backward.

Rows are independent, so blocks of them run side by side: one instruction works
on several rows, and several threads work on several blocks. The kernels release
the GIL and are handed to a thread pool of our own, because Numba's default
threading layer must not be entered from two Python threads at once, as a plugin
that segments while it trains would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor

# Rows per block and tokens per chunk: a chunk's states stay in the L2 cache.
WIDTH = 128
CHUNK = 32

_LOG2_E = np.float32(math.log2(math.e))
_HALF = np.float32(0.5)
_ZERO = np.float32(0)
_LOWEST = np.float32(-126)
_HIGHEST = np.float32(127)
# 2^f on [-1/2, 1/2], the Taylor series of exp(f ln 2): off by at most 1.2e-7.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(math.log(2) ** k / math.factorial(k)) for k in range(7)
)
# Sums over rows may be reordered (they must be, to vectorise); nothing else is relaxed that
# would let NaN or infinity vanish.
_FAST = {"reassoc", "contract", "nsz"}


@intrinsic
def _power_of_two(typingctx: Any, exponent: Any) -> Any:
    """Build the float32 2^exponent from its bits; exponent is a whole float32 in -126..127."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i32 = ir.IntType(32)
        whole = builder.fptosi(arguments[0], i32)
        bits = builder.shl(builder.add(whole, i32(127)), i32(23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), build


@njit(inline="always", fastmath={"contract", "nsz"})
def _exp2(x):  # type: ignore[no-untyped-def]
    """2^x without a library call, which LLVM would not vectorise."""
    x = min(max(x, _LOWEST), _HIGHEST)
    whole = np.floor(x + _HALF)
    f = x - whole
    series = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return series * _power_of_two(whole)  # type: ignore[call-arg]


@njit(inline="always")
def _load(source, row, rows, token, tokens, tile):  # type: ignore[no-untyped-def]
    """Copy rows x tokens of source (rows, L) into tile (tokens, WIDTH), zero past the end."""
    for r in range(rows):
        for t in range(tokens):
            tile[t, r] = source[row + r, token + t]


@njit(inline="always")
def _step(t, token, rates, B, C, delta, delta_u, h, out):  # type: ignore[no-untyped-def]
    """Advance all states of a block by one token, in place."""
    for n in range(h.shape[0]):
        b = B[n, token]
        c = C[n, token]
        for r in range(h.shape[1]):
            state = _exp2(delta[t, r] * rates[n, r]) * h[n, r] + delta_u[t, r] * b
            h[n, r] = state
            out[t, r] += state * c


@njit(nogil=True, cache=True, fastmath=_FAST)
def _forward(u, delta, A, B, C, D, y, first, rows):  # type: ignore[no-untyped-def]
    """Scan one block of rows of one sequence; u, delta, y (rows, L), B, C (N, L)."""
    length = u.shape[1]
    states = A.shape[1]
    rates = np.zeros((states, WIDTH), np.float32)
    for n in range(states):
        for r in range(rows):
            rates[n, r] = A[first + r, n] * _LOG2_E
    h = np.zeros((states, WIDTH), np.float32)
    u_tile = np.zeros((CHUNK, WIDTH), np.float32)
    delta_tile = np.zeros((CHUNK, WIDTH), np.float32)
    out = np.zeros((CHUNK, WIDTH), np.float32)
    for start in range(0, length, CHUNK):
        tokens = min(CHUNK, length - start)
        _load(u, first, rows, start, tokens, u_tile)
        _load(delta, first, rows, start, tokens, delta_tile)
        u_tile *= delta_tile
        out[:] = _ZERO
        for t in range(tokens):
            _step(t, start + t, rates, B, C, delta_tile, u_tile, h, out)
        for r in range(rows):
            skip = D[first + r]
            for t in range(tokens):
                y[first + r, start + t] = out[t, r] + skip * u[first + r, start + t]


@njit(nogil=True, cache=True, fastmath=_FAST)
def _backward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, D, dy, du, ddelta, dA, dB, dC, first, rows
):
    """Gradients of `_forward` for one block; dB and dC are this block's share, (N, L)."""
    length = u.shape[1]
    states = A.shape[1]
    chunks = (length + CHUNK - 1) // CHUNK
    decay_rates = np.zeros((states, WIDTH), np.float32)
    for n in range(states):
        for r in range(rows):
            decay_rates[n, r] = A[first + r, n]
    rates = decay_rates * _LOG2_E
    u_tile = np.zeros((CHUNK, WIDTH), np.float32)
    delta_tile = np.zeros((CHUNK, WIDTH), np.float32)
    product = np.zeros((CHUNK, WIDTH), np.float32)
    dy_tile = np.zeros((CHUNK, WIDTH), np.float32)
    d_product = np.zeros((CHUNK, WIDTH), np.float32)
    d_delta = np.zeros((CHUNK, WIDTH), np.float32)
    dA_tile = np.zeros((states, WIDTH), np.float32)

    # Keep the state at the start of each chunk; the states inside are computed again below.
    saved = np.zeros((chunks, states, WIDTH), np.float32)
    h = np.zeros((states, WIDTH), np.float32)
    for k in range(chunks):
        start = k * CHUNK
        tokens = min(CHUNK, length - start)
        saved[k] = h
        _load(u, first, rows, start, tokens, u_tile)
        _load(delta, first, rows, start, tokens, delta_tile)
        u_tile *= delta_tile
        for t in range(tokens):
            _step(t, start + t, rates, B, C, delta_tile, u_tile, h, product)

    inside = np.zeros((CHUNK + 1, states, WIDTH), np.float32)
    decays = np.zeros((CHUNK, states, WIDTH), np.float32)
    dh = np.zeros((states, WIDTH), np.float32)
    for k in range(chunks - 1, -1, -1):
        start = k * CHUNK
        tokens = min(CHUNK, length - start)
        _load(u, first, rows, start, tokens, u_tile)
        _load(delta, first, rows, start, tokens, delta_tile)
        _load(dy, first, rows, start, tokens, dy_tile)
        product[:] = u_tile * delta_tile
        inside[0] = saved[k]
        for t in range(tokens):
            for n in range(states):
                b = B[n, start + t]
                for r in range(WIDTH):
                    decay = _exp2(delta_tile[t, r] * rates[n, r])
                    decays[t, n, r] = decay
                    inside[t + 1, n, r] = decay * inside[t, n, r] + product[t, r] * b
        d_product[:] = _ZERO
        d_delta[:] = _ZERO
        for t in range(tokens - 1, -1, -1):
            for n in range(states):
                b = B[n, start + t]
                c = C[n, start + t]
                sum_b = _ZERO
                sum_c = _ZERO
                for r in range(WIDTH):
                    g = dh[n, r] + dy_tile[t, r] * c
                    sum_c += dy_tile[t, r] * inside[t + 1, n, r]
                    sum_b += g * product[t, r]
                    d_product[t, r] += g * b
                    g *= decays[t, n, r]
                    dh[n, r] = g
                    g *= inside[t, n, r]
                    d_delta[t, r] += g * decay_rates[n, r]
                    dA_tile[n, r] += g * delta_tile[t, r]
                dB[n, start + t] = sum_b
                dC[n, start + t] = sum_c
        for r in range(rows):
            skip = D[first + r]
            for t in range(tokens):
                du[first + r, start + t] = d_product[t, r] * delta_tile[t, r] + skip * dy_tile[t, r]
                ddelta[first + r, start + t] = d_delta[t, r] + d_product[t, r] * u_tile[t, r]
    for r in range(rows):
        for n in range(states):
            dA[first + r, n] = dA_tile[n, r]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="seglite-scan")


def _for_each_block(
    batch: int, rows: int, groups: int, run: Callable[[int, int, int, int, int], None]
) -> None:
    """Call ``run(batch item, group, block, first row, rows)`` for every block, in threads."""
    per_group = rows // groups
    blocks = [
        (item, group, start // WIDTH, group * per_group + start, min(WIDTH, per_group - start))
        for item in range(batch)
        for group in range(groups)
        for start in range(0, per_group, WIDTH)
    ]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads <= 1:
        for block in blocks:
            run(*block)
    else:
        for _ in _pool(threads).map(lambda block: run(*block), blocks):
            pass


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float32).contiguous().numpy()


def _scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    arrays = [_array(t) for t in (u, delta, A, B, C, D)]
    u_, delta_, A_, B_, C_, D_ = arrays
    y = np.empty_like(u_)

    def run(item: int, group: int, block: int, first: int, rows: int) -> None:
        _forward(
            *(u_[item], delta_[item], A_, B_[item, group], C_[item, group], D_),
            *(y[item], first, rows),
        )

    _for_each_block(u_.shape[0], u_.shape[1], B_.shape[1], run)
    return torch.from_numpy(y)


def _scan_backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dy_, u_, delta_, A_, B_, C_, D_ = (_array(t) for t in (dy, u, delta, A, B, C, D))
    batch, rows, _ = u_.shape
    groups = B_.shape[1]
    blocks = -(-(rows // groups) // WIDTH)
    du, ddelta = np.empty_like(u_), np.empty_like(u_)
    dA = np.empty((batch, *A_.shape), np.float32)
    dB = np.empty((blocks, *B_.shape), np.float32)
    dC = np.empty((blocks, *C_.shape), np.float32)

    def run(item: int, group: int, block: int, first: int, rows: int) -> None:
        _backward(
            *(u_[item], delta_[item], A_, B_[item, group], C_[item, group], D_, dy_[item]),
            *(du[item], ddelta[item], dA[item]),
            *(dB[block, item, group], dC[block, item, group], first, rows),
        )

    _for_each_block(batch, rows, groups, run)
    dD = np.einsum("brl,brl->r", dy_, u_, optimize=True)
    arrays = (du, ddelta, dA.sum(0), dB.sum(0), dC.sum(0), dD)
    first, *others = (torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
    return (first, *others)  # type: ignore[return-value]


class _NumbaScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        return _scan(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _scan_backward(gradients[0], *ctx.saved_tensors)


# The same as operators of torch's own kind, which torch.compile and torch.export take as one node
# instead of stumbling over NumPy. Not used otherwise: calling one loads all of torch's compiler.
_scan_operator = torch.library.custom_op("seglite::selective_scan", _scan, mutates_args=())
_scan_backward_operator = torch.library.custom_op(
    "seglite::selective_scan_backward", _scan_backward, mutates_args=()
)


@_scan_operator.register_fake
def _(u: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(u, memory_format=torch.contiguous_format)


@_scan_backward_operator.register_fake
def _(dy: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in inputs)


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, dy: Tensor) -> Any:
    return _scan_backward_operator(dy, *ctx.saved_tensors)


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
    """Scan on the CPU in float32; arguments as in `src_models.selective_scan.selective_scan`."""
    out_dtype = u.dtype
    u, delta, A, B, C, D = (t.float() for t in (u, delta, A, B, C, D))
    if delta_bias is not None:
        delta = delta + delta_bias.float()[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    if torch.compiler.is_compiling():
        return _scan_operator(u, delta, A, B, C, D).to(out_dtype)
    scanned: Tensor = _NumbaScan.apply(u, delta, A, B, C, D)
    return scanned.to(out_dtype)


def needs_compiling(training: bool) -> bool:
    """Whether neither this process nor the cache on disk holds the compiled kernels."""
    kernels: tuple[Any, ...] = (_forward, _backward) if training else (_forward,)
    for kernel in kernels:
        if not kernel.signatures:
            cached = Path(kernel.stats.cache_path or ".")
            if not any(cached.glob(f"{Path(__file__).stem}.{kernel.__name__}-*.nbc")):
                return True
    return False


def warm_up(training: bool) -> None:
    """Compile the kernels, or load them from the cache on disk."""
    u = torch.ones(1, 2, 3, requires_grad=training)
    vectors = torch.ones(1, 1, 2, 3)
    y = selective_scan_numba(u, u, -torch.ones(2, 2), vectors, vectors, torch.ones(2))
    if training:
        y.sum().backward()
