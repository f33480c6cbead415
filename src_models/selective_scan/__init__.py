"""The selective scan of Mamba, one function over several back ends.

The recurrence, for every row and state (Gu and Dao, 2023, equations 2a-2b with
the zero-order-hold A and the Euler B that the published code uses)::

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t
    y_t = C_t . h_t + D u_t

Back ends give the same numbers: ``reference`` is plain torch, runs anywhere and
is the one to read; ``numba`` is compiled for the CPU; ``triton`` is ours and
``mamba`` the ``mamba-ssm`` package's for CUDA.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BACKENDS", "choose_backend", "needs_compiling", "selective_scan", "warm_up"]

# What each runs on, and the module it needs.
_NEEDS = {
    "reference": ("", ""),
    "numba": ("cpu", "numba"),
    "mamba": ("cuda", "mamba_ssm"),
    "triton": ("cuda", "triton"),
}
BACKENDS = tuple(_NEEDS)
ENVIRONMENT_VARIABLE = "SEGLITE_SCAN"


@cache
def _installed(module: str) -> bool:
    return not module or importlib.util.find_spec(module) is not None


def _runs_on(backend: str, device: str) -> bool:
    wanted = _NEEDS[backend][0]
    interpreted = backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    return interpreted or not wanted or device == wanted


def choose_backend(device: str = "cpu", backend: str | None = None) -> str:
    """Name the back end that serves tensors on a device.

    Parameters
    ----------
    device : str
        A torch device type, such as ``"cpu"`` or ``"cuda"``.
    backend : str, optional
        Forces a back end. Without it the environment variable ``SEGLITE_SCAN``
        decides, and without that the fastest one that works on the device.

    Returns
    -------
    str
        One of `BACKENDS`.

    Raises
    ------
    ValueError
        If the forced back end does not exist, is not installed or does not run on the device.
    """
    forced = backend or os.environ.get(ENVIRONMENT_VARIABLE)
    if forced:
        if forced not in BACKENDS:
            raise ValueError(f"No scan back end {forced!r}; choose one of {', '.join(BACKENDS)}.")
        if not _runs_on(forced, device) or not _installed(_NEEDS[forced][1]):
            raise ValueError(
                f"The scan back end {forced!r} does not run on {device!r} here: it needs "
                f"{' and '.join(filter(None, _NEEDS[forced]))}."
            )
        return forced
    for name in ("numba", "mamba", "triton"):
        wanted, module = _NEEDS[name]
        if device == wanted and _installed(module):
            return name
    return "reference"


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    backend: str | None = None,
) -> Tensor:
    """Scan sequences with input-dependent linear state-space equations.

    Parameters
    ----------
    u, delta : Tensor
        Input and step size, ``(B, rows, L)``.
    A : Tensor
        Decay rates, ``(rows, N)``; negative for a stable scan.
    B, C : Tensor
        Input and output projections, ``(B, groups, N, L)``. Consecutive blocks
        of ``rows / groups`` rows share one group.
    D : Tensor
        Skip connection, ``(rows,)``.
    delta_bias : Tensor, optional
        Added to `delta`, ``(rows,)``.
    delta_softplus : bool
        Whether softplus is applied to `delta` after the bias.
    backend : str, optional
        Forces a back end, see `choose_backend`.

    Returns
    -------
    Tensor
        ``(B, rows, L)`` in the dtype of `u`. All back ends but ``reference`` compute in
        float32 whatever comes in.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """
    _check_shapes(u, delta, A, B, C, D, delta_bias)
    scan = _load(choose_backend(u.device.type, backend))
    return scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


def _load(backend: str) -> Callable[..., Tensor]:
    if backend == "numba":
        from .numba_cpu import selective_scan_numba as scan
    elif backend == "triton":
        from .triton_cuda import selective_scan_triton as scan
    elif backend == "mamba":
        from .mamba_cuda import selective_scan_mamba as scan
    else:
        from .reference import selective_scan_reference as scan
    return scan


def _check_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor | None
) -> None:
    if u.ndim != 3 or delta.shape != u.shape:
        raise ValueError(
            f"u and delta must both be (B, rows, L), not {tuple(u.shape)} and {tuple(delta.shape)}."
        )
    batch, rows, length = u.shape
    if A.ndim != 2 or A.shape[0] != rows:
        raise ValueError(f"A must be ({rows}, N), not {tuple(A.shape)}.")
    groups = B.shape[1] if B.ndim == 4 else 0
    if not groups or B.shape != (batch, groups, A.shape[1], length) or C.shape != B.shape:
        raise ValueError(
            f"B and C must both be ({batch}, groups, {A.shape[1]}, {length}), "
            f"not {tuple(B.shape)} and {tuple(C.shape)}."
        )
    if rows % groups:
        raise ValueError(f"{rows} rows cannot be shared evenly by {groups} groups.")
    for name, vector in (("D", D), ("delta_bias", bias)):
        if vector is not None and vector.shape != (rows,):
            raise ValueError(f"{name} must be ({rows},), not {tuple(vector.shape)}.")


def needs_compiling(training: bool = False) -> bool:
    """Whether the next scan on the CPU has to compile its kernel first, for some seconds.

    Parameters
    ----------
    training : bool
        Whether the way back is needed too.
    """
    if choose_backend("cpu") != "numba":
        return False
    from .numba_cpu import needs_compiling as missing

    return missing(training)


def warm_up(training: bool = False) -> None:
    """Compile the kernel, or load it from its cache on disk, on a tiny sequence."""
    if choose_backend("cpu") == "numba":
        from .numba_cpu import warm_up as compile_now

        compile_now(training)
