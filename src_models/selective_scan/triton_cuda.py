"""The selective scan as Triton kernels for CUDA, forward and backward.

One program scans one row: chunk after chunk of tokens, each chunk in parallel as an associative
scan of the maps ``h -> a h + b`` (Blelloch, 1990), with the state carried from chunk to chunk. The
backward pass recomputes each chunk's states from the carried ones, which the forward pass stores.

``TRITON_INTERPRET=1`` runs the same kernels on the CPU, slowly, for tests.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .scan_inputs import ScanInputs, with_final_steps

CHUNK = 128


@triton.jit
def _compose(a1, b1, a2, b2):  # type: ignore[no-untyped-def]
    """Compose two maps: first ``h -> a1 h + b1``, then ``h -> a2 h + b2``."""
    return a1 * a2, a2 * b1 + b2


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, D, y, carried, rows, per_group, length, chunks,
    STATES: tl.constexpr, PADDED: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    row, item = tl.program_id(0), tl.program_id(1)
    groups = rows // per_group
    line = (item * rows + row).to(tl.int64)
    shared = (item * groups + row // per_group).to(tl.int64) * STATES * length
    states, tokens = tl.arange(0, PADDED), tl.arange(0, CHUNK)
    real = states < STATES
    rate = tl.load(A + row * STATES + states, mask=real, other=0.0)
    skip = tl.load(D + row)
    h = tl.zeros((PADDED,), tl.float32)
    for chunk in range(chunks):
        tl.store(carried + (line * chunks + chunk) * PADDED + states, h)
        at = chunk * CHUNK + tokens
        inside = at < length
        both = inside[:, None] & real[None, :]
        where = shared + states[None, :] * length + at[:, None]
        x = tl.load(u + line * length + at, mask=inside, other=0.0)
        step = tl.load(delta + line * length + at, mask=inside, other=0.0)
        b = tl.load(B + where, mask=both, other=0.0)
        c = tl.load(C + where, mask=both, other=0.0)
        decay, gain = tl.associative_scan(
            (tl.exp(step[:, None] * rate[None, :]), (step * x)[:, None] * b), 0, _compose
        )
        reached = decay * h[None, :] + gain
        tl.store(y + line * length + at, tl.sum(reached * c, 1) + skip * x, mask=inside)
        # Beyond the end a step of 0 leaves the state as it is.
        h = tl.sum(tl.where(tokens[:, None] == CHUNK - 1, reached, 0.0), 0)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, D, dy, carried, du, ddelta, dA, dB, dC, rows, per_group, length, chunks,
    STATES: tl.constexpr, PADDED: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    row, item = tl.program_id(0), tl.program_id(1)
    groups = rows // per_group
    line = (item * rows + row).to(tl.int64)
    shared = (item * groups + row // per_group).to(tl.int64) * STATES * length
    states, tokens = tl.arange(0, PADDED), tl.arange(0, CHUNK)
    real = states < STATES
    rate = tl.load(A + row * STATES + states, mask=real, other=0.0)
    skip = tl.load(D + row)
    later = tl.zeros((PADDED,), tl.float32)  # gradient of the state after this chunk
    drate = tl.zeros((PADDED,), tl.float32)
    for back in range(chunks):
        chunk = chunks - 1 - back
        at = chunk * CHUNK + tokens
        inside = at < length
        both = inside[:, None] & real[None, :]
        where = shared + states[None, :] * length + at[:, None]
        x = tl.load(u + line * length + at, mask=inside, other=0.0)
        g = tl.load(dy + line * length + at, mask=inside, other=0.0)
        step = tl.load(delta + line * length + at, mask=inside, other=0.0)
        following = tl.load(delta + line * length + at + 1, mask=at + 1 < length, other=0.0)
        b = tl.load(B + where, mask=both, other=0.0)
        c = tl.load(C + where, mask=both, other=0.0)

        added = (step * x)[:, None] * b
        decay, gain = tl.associative_scan(
            (tl.exp(step[:, None] * rate[None, :]), added), 0, _compose
        )
        h = tl.load(carried + (line * chunks + chunk) * PADDED + states)
        reached = decay * h[None, :] + gain
        # dh_t = C_t dy_t + exp(delta_(t+1) A) dh_(t+1), scanned from the end.
        decay, gain = tl.associative_scan(
            (tl.exp(following[:, None] * rate[None, :]), g[:, None] * c), 0, _compose, reverse=True
        )
        dh = decay * later[None, :] + gain
        later = tl.sum(tl.where(tokens[:, None] == 0, dh, 0.0), 0)

        # exp(delta A) h_(t-1) is the state without the contribution of this token.
        decayed = dh * (reached - added)
        drate += tl.sum(tl.where(inside[:, None], decayed * step[:, None], 0.0), 0)
        through = tl.sum(dh * b, 1)
        tl.store(du + line * length + at, through * step + skip * g, mask=inside)
        slope = tl.sum(decayed * rate[None, :], 1) + through * x
        tl.store(ddelta + line * length + at, slope, mask=inside)
        tl.atomic_add(dB + where, dh * (step * x)[:, None], mask=both)
        tl.atomic_add(dC + where, reached * g[:, None], mask=both)
    tl.store(dA + line * STATES + states, drate, mask=real)


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        tensors = tuple(t.contiguous() for t in tensors)
        u, A, B = tensors[0], tensors[2], tensors[3]
        batch, rows, length = u.shape
        chunks, padded = triton.cdiv(length, CHUNK), triton.next_power_of_2(A.shape[1])
        y = torch.empty_like(u)
        carried = u.new_empty(batch, rows, chunks, padded)
        sizes = (rows, rows // B.shape[1], length, chunks)
        constants = {"STATES": A.shape[1], "PADDED": padded, "CHUNK": CHUNK}
        _forward[(rows, batch)](*tensors, y, carried, *sizes, **constants)
        ctx.save_for_backward(*tensors, carried)
        ctx.sizes, ctx.constants = sizes, constants
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        *tensors, carried = ctx.saved_tensors
        u, delta, A, B, C, _ = tensors
        batch, rows, _ = u.shape
        dy = gradients[0].contiguous()
        du, ddelta = torch.empty_like(u), torch.empty_like(delta)
        dA = u.new_empty(batch, *A.shape)
        dB, dC = torch.zeros_like(B), torch.zeros_like(C)
        _backward[(rows, batch)](
            *tensors, dy, carried, du, ddelta, dA, dB, dC, *ctx.sizes, **ctx.constants
        )
        return du, ddelta, dA.sum(0), dB, dC, (dy * u).sum((0, 2))


def selective_scan_triton(inputs: ScanInputs) -> Tensor:
    """Scan on CUDA in float32.

    Gradients of B and C are summed over rows in no fixed order, so their last digits vary.
    """
    scanned: Tensor = _TritonScan.apply(*with_final_steps(inputs, torch.float32))
    return scanned.to(inputs.u.dtype)
