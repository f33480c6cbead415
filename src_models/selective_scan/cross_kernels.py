"""Four selective scans across an image, compiled by Numba for inference.

As `kernels.forward`, but tokens are read where they lie in the image, whatever the direction, and
step sizes are projected on the way: nothing is copied, reversed or transposed for a direction.
Arrays are flat, because a slice of an array inside of a loop costs more than what is computed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import compiled
from .kernels import _L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _LOG2_E, _ZERO
from .lanes import WIDTH, exp2, load, maximum, splat, store

# Tokens that are read at a time, so that the waiting times for memory overlap.
CHUNK = 32
PAIR = 2 * WIDTH


@njit(inline="always")
def _softplus(x):  # type: ignore[no-untyped-def]
    """Return log(1 + exp(x)) of lanes, see `kernels`."""
    zero = splat(_ZERO)
    t = exp2((zero - maximum(x, zero - x)) * splat(_LOG2_E))
    high = splat(_L6) + t * (splat(_L7) + t * (splat(_L8) + t * splat(_L9)))
    middle = splat(_L3) + t * (splat(_L4) + t * (splat(_L5) + t * high))
    low = splat(_L0) + t * (splat(_L1) + t * (splat(_L2) + t * middle))
    return maximum(x, zero) + t * low


@njit(inline="always")
def _place(direction, t, height, width):  # type: ignore[no-untyped-def]
    """Return the pixel of token t: row by row, column by column, and both backwards."""
    if direction >= 2:
        t = height * width - 1 - t
    return (t % height) * width + t // height if direction % 2 else t


@compiled
def forward(  # type: ignore[no-untyped-def]
    u, projected, weights, rates, skips, bias, y, height, width, channels, rank, states, first, rows
):
    """Scan the block of rows ``first : first + rows`` in all directions and write the sum into y.

    All arrays are flat: u and y ``(H * W, channels)``, projected ``(H * W, 4, rank + 2 states)``,
    weights ``(4, rank, channels)``, rates ``(4, states, channels)`` in powers of two, bias
    ``(4, channels)``; skips, ``(channels,)``, is the sum over the directions. Channels and rows
    are multiples of ``2 WIDTH``.
    """
    given = rank + 2 * states
    places = np.zeros(CHUNK, np.int64)
    steps = np.zeros(CHUNK * rows, np.float32)
    product = np.zeros(CHUNK * rows, np.float32)
    for k in range(4):
        h = np.zeros(states * rows, np.float32)
        for start in range(0, height * width, CHUNK):
            tokens = min(CHUNK, height * width - start)
            for t in range(tokens):
                place = _place(k, start + t, height, width)
                places[t] = place
                for r in range(0, rows, WIDTH):
                    step = load(bias, k * channels + first + r)
                    for i in range(rank):
                        weight = load(weights, (k * rank + i) * channels + first + r)
                        step = step + weight * splat(projected[(place * 4 + k) * given + i])
                    step = _softplus(step)
                    store(steps, t * rows + r, step)
                    store(product, t * rows + r, step * load(u, place * channels + first + r))
            for t in range(tokens):
                enters = (places[t] * 4 + k) * given + rank
                leaves = enters + states
                for r in range(0, rows, PAIR):
                    step_a, step_b = load(steps, t * rows + r), load(steps, t * rows + r + WIDTH)
                    in_a = load(product, t * rows + r)
                    in_b = load(product, t * rows + r + WIDTH)
                    here = places[t] * channels + first + r
                    if k == 0:
                        y_a = load(u, here) * load(skips, first + r)
                        y_b = load(u, here + WIDTH) * load(skips, first + r + WIDTH)
                    else:
                        y_a, y_b = load(y, here), load(y, here + WIDTH)
                    for n in range(states):
                        at, rate = n * rows + r, (k * states + n) * channels + first + r
                        into, out = splat(projected[enters + n]), splat(projected[leaves + n])
                        a = exp2(step_a * load(rates, rate)) * load(h, at) + in_a * into
                        b = exp2(step_b * load(rates, rate + WIDTH)) * load(h, at + WIDTH)
                        b = b + in_b * into
                        store(h, at, a)
                        store(h, at + WIDTH, b)
                        y_a = y_a + a * out
                        y_b = y_b + b * out
                    store(y, here, y_a)
                    store(y, here + WIDTH, y_b)
