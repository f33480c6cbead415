"""The selective scan of Mamba, one function over several back ends.

The recurrence, for every row and state (Gu and Dao, 2023, equations 2a-2b with
the zero-order-hold A and the Euler B that the published code uses)::

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t
    y_t = C_t . h_t + D u_t

All back ends take `scan_inputs.ScanInputs` and give the same numbers: ``reference`` is plain
torch, runs anywhere and is the one to read; ``graph`` is what exporters understand; ``numba`` is
compiled for the CPU; ``triton`` is ours and ``mamba`` the ``mamba-ssm`` package's for CUDA.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .scan_inputs import Backend

__all__ = [
    "BACKENDS",
    "choose_backend",
    "exporting",
    "needs_compiling",
    "selective_scan",
    "warm_up",
]

# The device type and the module that each back end needs; empty where any device, or torch alone,
# will do.
_NEEDS = {
    "reference": ("", ""),
    "graph": ("", ""),
    "numba": ("cpu", "numba"),
    "mamba": ("cuda", "mamba_ssm"),
    "triton": ("cuda", "triton"),
}
BACKENDS = tuple(_NEEDS)
ENVIRONMENT_VARIABLE = "SEGLITE_SCAN"
_exporting: ContextVar[bool] = ContextVar("exporting", default=False)


@contextmanager
def exporting() -> Iterator[None]:
    """Let networks scan as exporters understand it, in this thread, whatever is asked for."""
    token = _exporting.set(True)
    try:
        yield
    finally:
        _exporting.reset(token)


@cache
def _installed(module: str) -> bool:
    return not module or importlib.util.find_spec(module) is not None


def _runs_on(backend: str, device: str) -> bool:
    wanted = _NEEDS[backend][0]
    interpreted = backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    return interpreted or not wanted or device == wanted


def choose_backend(device: str = "cpu", backend: str | None = None) -> str:
    """Return the name of the back end for tensors on a device.

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
    import torch

    # `torch.compile`, which cannot read such a variable, is no export.
    if not torch.compiler.is_dynamo_compiling() and _exporting.get():
        return "graph"
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
        float32, whatever the dtype of the inputs.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """
    from .scan_inputs import ScanInputs, check_shapes

    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    check_shapes(inputs)
    return _load(choose_backend(u.device.type, backend))(inputs)


def _load(name: str) -> Backend:
    if name == "numba":
        from .numba_cpu import selective_scan_numba as scan
    elif name == "triton":
        from .triton_cuda import selective_scan_triton as scan
    elif name == "mamba":
        from .mamba_cuda import selective_scan_mamba as scan
    elif name == "graph":
        from .graph import selective_scan_graph as scan
    else:
        from .reference import selective_scan_reference as scan
    return scan


def needs_compiling(training: bool = False) -> bool:
    """Whether the next scan on the CPU has to compile its kernels first, for some seconds.

    Parameters
    ----------
    training : bool
        Whether the backward pass is needed too.
    """
    if choose_backend("cpu") != "numba":
        return False
    from .numba_cpu import needs_compiling as missing

    return missing(training)


def warm_up(training: bool = False) -> None:
    """Compile the CPU's kernels, or load them from the cache on disk, on a tiny sequence.

    Parameters
    ----------
    training : bool
        Whether the backward pass is needed too.
    """
    if choose_backend("cpu") == "numba":
        from .numba_cpu import warm_up as compile_now

        compile_now(training)
