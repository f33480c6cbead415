"""The selective scan of a block of rows, compiled by Numba.

Rows are independent, and one instruction works on several of them (see `lanes`). Tokens lie one
after the other in memory, each with all its rows, so that a block reads ahead along the sequence.
Slices that begin at 0 tell LLVM that no index is negative; otherwise it would not vectorise.

`forward` and `backward` take the inputs of one sequence and one group first, in the order of
`scan_inputs.ScanInputs`: u and delta ``(L, rows)``, A ``(rows, N)``, B and C ``(L, N)``, D and
bias ``(rows,)``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial

from ..compiled import compiled
from .lanes import WIDTH, exp2, load, splat, store, total

# Tokens that are read at a time; the backward pass stores the states of so many.
CHUNK = 32

_LOG2_E = np.float32(math.log2(math.e))
_ZERO, _ONE = np.float32(0), np.float32(1)
# log(1 + t) / t on [0, 1]: off by at most 2e-8.
_LOG1P = tuple(
    np.float32(c)
    for c in Chebyshev.interpolate(lambda t: np.log1p(t) / t, 9, domain=[0, 1])
    .convert(kind=Polynomial)
    .coef
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9 = _LOG1P


@njit(inline="always", fastmath={"contract", "nsz"})
def _softplus(x):  # type: ignore[no-untyped-def]
    """Return log(1 + exp(x)) without a library call and without overflow."""
    t = exp2(-abs(x) * _LOG2_E)
    low = _L4 + t * (_L5 + t * (_L6 + t * (_L7 + t * (_L8 + t * _L9))))
    return max(x, _ZERO) + t * (_L0 + t * (_L1 + t * (_L2 + t * (_L3 + t * low))))


@njit(inline="always", fastmath={"contract", "nsz"})
def _logistic(x):  # type: ignore[no-untyped-def]
    """Return the slope of softplus, right to its last digits where it is small.

    1 - exp(-softplus(x)) would lose them all: a step of 1e-8 vanishes beside 1.
    """
    t = exp2(-abs(x) * _LOG2_E)
    return (_ONE if x >= _ZERO else t) / (_ONE + t)


@compiled
def _read(  # type: ignore[no-untyped-def]
    u, delta, bias, softplus, first, rows, width, start, tokens, steps, product
):
    """Write the step size of each row at some tokens, and its product with the input.

    Several tokens at once, so that the waiting times for memory overlap.
    """
    for t in range(tokens):
        x = delta[start + t, first : first + rows]
        inputs = u[start + t, first : first + rows]
        shift = bias[first : first + rows]
        step = steps[t * width : t * width + rows]
        inflow = product[t * width : t * width + rows]
        for r in range(rows):
            step[r] = _softplus(x[r] + shift[r]) if softplus else x[r] + shift[r]
            inflow[r] = step[r] * inputs[r]


@compiled
def _rates(A, first, rows, width, factor):  # type: ignore[no-untyped-def]
    """Return the decay rates of a block, (states * width), zero past its rows."""
    rates = np.zeros(A.shape[1] * width, np.float32)
    for n in range(A.shape[1]):
        for r in range(rows):
            rates[n * width + r] = A[first + r, n] * factor
    return rates


@compiled
def forward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, D, bias, softplus, y, first, rows
):
    """Scan the block of rows ``first : first + rows`` and write it into y, ``(L, rows)``."""
    states = A.shape[1]
    width = (rows + WIDTH - 1) // WIDTH * WIDTH
    rates = _rates(A, first, rows, width, _LOG2_E)
    h = np.zeros(states * width, np.float32)
    steps = np.zeros(CHUNK * width, np.float32)
    product = np.zeros(CHUNK * width, np.float32)
    out = np.zeros(CHUNK * width, np.float32)
    for start in range(0, u.shape[0], CHUNK):
        tokens = min(CHUNK, u.shape[0] - start)
        where = (first, rows, width, start, tokens)
        _read(u, delta, bias, softplus, *where, steps, product)
        for t in range(tokens):
            for r in range(0, width, WIDTH):
                step = load(steps, t * width + r)
                inflow = load(product, t * width + r)
                sum_y = splat(_ZERO)
                for n in range(states):
                    k = n * width + r
                    decay = exp2(step * load(rates, k))
                    state = decay * load(h, k) + inflow * splat(B[start + t, n])
                    store(h, k, state)
                    sum_y = sum_y + state * splat(C[start + t, n])
                store(out, t * width + r, sum_y)
        for t in range(tokens):
            result = y[start + t, first : first + rows]
            inputs = u[start + t, first : first + rows]
            scanned = out[t * width : t * width + rows]
            skip = D[first : first + rows]
            for r in range(rows):
                result[r] = scanned[r] + skip[r] * inputs[r]


@compiled
def _states_at_chunks(  # type: ignore[no-untyped-def]
    u, delta, B, bias, softplus, rates, first, rows, width
):
    """Scan a block and return its states before each chunk, (chunks, states * width)."""
    length, states = B.shape
    saved = np.zeros(((length + CHUNK - 1) // CHUNK, states * width), np.float32)
    h = np.zeros(states * width, np.float32)
    steps = np.zeros(CHUNK * width, np.float32)
    product = np.zeros(CHUNK * width, np.float32)
    for chunk in range(saved.shape[0]):
        saved[chunk] = h
        start = chunk * CHUNK
        tokens = min(CHUNK, length - start)
        where = (first, rows, width, start, tokens)
        _read(u, delta, bias, softplus, *where, steps, product)
        for t in range(tokens):
            for r in range(0, width, WIDTH):
                step = load(steps, t * width + r)
                inflow = load(product, t * width + r)
                for n in range(states):
                    k = n * width + r
                    decay = exp2(step * load(rates, k))
                    store(h, k, decay * load(h, k) + inflow * splat(B[start + t, n]))
    return saved


@compiled
def _refill(B, rates, steps, product, start, tokens, width, inside, decays):  # type: ignore[no-untyped-def]
    """Recompute the states of a chunk, from those before it in ``inside[: size]``."""
    states = B.shape[1]
    size = states * width
    for t in range(tokens):
        for r in range(0, width, WIDTH):
            step = load(steps, t * width + r)
            inflow = load(product, t * width + r)
            for n in range(states):
                k = t * size + n * width + r
                decay = exp2(step * load(rates, n * width + r))
                store(decays, k, decay)
                store(inside, k + size, decay * load(inside, k) + inflow * splat(B[start + t, n]))


@compiled
def _back_one_token(  # type: ignore[no-untyped-def]
    b, c, rates, slopes, steps, product, before, after, decays, dh, dA, db, dc, d_step, d_product
):
    """Compute the gradients of one token of a block; ``dh`` passes to the token before it."""
    width = slopes.size
    d_step[:] = _ZERO
    d_product[:] = _ZERO
    for n in range(b.size):
        weight_in, weight_out = splat(b[n]), splat(c[n])
        sum_in, sum_out = splat(_ZERO), splat(_ZERO)
        for r in range(0, width, WIDTH):
            k = n * width + r
            slope = load(slopes, r)
            g = load(dh, k) + slope * weight_out
            sum_out = sum_out + slope * load(after, k)
            sum_in = sum_in + g * load(product, r)
            store(d_product, r, load(d_product, r) + g * weight_in)
            g = g * load(decays, k)
            store(dh, k, g)
            g = g * load(before, k)
            store(d_step, r, load(d_step, r) + g * load(rates, k))
            store(dA, k, load(dA, k) + g * load(steps, r))
        db[n] = total(sum_in)
        dc[n] = total(sum_out)


@compiled
def backward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, D, bias, softplus, dy, du, ddelta, dA, dB, dC, first, rows
):
    """Compute the gradients of `forward` for one block.

    du and ddelta are ``(L, rows)``, dA ``(rows, N)``; dB and dC, ``(L, N)``, are the share of this
    block alone.
    """
    length, states = B.shape
    width = (rows + WIDTH - 1) // WIDTH * WIDTH
    size = states * width
    rates = _rates(A, first, rows, width, _LOG2_E)
    decay_rates = _rates(A, first, rows, width, _ONE)
    saved = _states_at_chunks(u, delta, B, bias, softplus, rates, first, rows, width)
    inside = np.zeros((CHUNK + 1, size), np.float32)
    decays = np.zeros((CHUNK, size), np.float32)
    steps = np.zeros((CHUNK, width), np.float32)
    product = np.zeros((CHUNK, width), np.float32)
    slopes = np.zeros(width, np.float32)
    dh = np.zeros(size, np.float32)
    dA_block = np.zeros(size, np.float32)
    d_step = np.zeros(width, np.float32)
    d_product = np.zeros(width, np.float32)
    block = slice(first, first + rows)
    skip = D[block]
    for chunk in range(saved.shape[0] - 1, -1, -1):
        start = chunk * CHUNK
        tokens = min(CHUNK, length - start)
        where = (first, rows, width, start, tokens)
        _read(u, delta, bias, softplus, *where, steps.ravel(), product.ravel())
        inside[0] = saved[chunk]
        flat = (steps.ravel(), product.ravel(), start, tokens, width)
        _refill(B, rates, *flat, inside.ravel(), decays.ravel())
        for t in range(tokens - 1, -1, -1):
            now = start + t
            slopes[:rows] = dy[now, block]
            _back_one_token(
                *(B[now], C[now], decay_rates, slopes, steps[t], product[t]),
                *(inside[t], inside[t + 1], decays[t], dh, dA_block, dB[now], dC[now]),
                *(d_step, d_product),
            )
            inputs, d_inputs, d_delta = u[now, block], du[now, block], ddelta[now, block]
            for r in range(rows):
                step = steps[t, r]
                d_inputs[r] = d_product[r] * step + skip[r] * slopes[r]
                d = d_step[r] + d_product[r] * inputs[r]
                if softplus:
                    d *= _logistic(delta[now, first + r] + bias[first + r])
                d_delta[r] = d
    for r in range(rows):
        for n in range(states):
            dA[first + r, n] = dA_block[n * width + r]
