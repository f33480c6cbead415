"""The selective scan as one loop over tokens, as exporters understand it.

`torch.export` gets its operator ``scan``, whose body is one token, and TorchScript a loop. ONNX
gets a node `ONNX_NODE`, in whose place the exporter puts ONNX's operator ``Scan``. The rows of all
directions take a step together, so that a step is a few large operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .scan_inputs import ScanInputs, with_final_steps

# Its inputs are decay rates (1, G, R, N) and the state (B, G, R, N); then, token by token, step
# sizes and driven inputs (L, B, G, R, 1), B (L, B, G, 1, N) and C (L, B, G, N, 1).
ONNX_NODE = "seglite::SelectiveScan"


def selective_scan_graph(inputs: ScanInputs) -> Tensor:
    """Scan token by token, in float32, or in float64 if the inputs are."""
    out_dtype = inputs.u.dtype
    u, delta, A, B, C, D = with_final_steps(inputs, torch.promote_types(out_dtype, torch.float32))
    batch, rows, groups, states = u.shape[0], u.shape[1], B.shape[1], A.shape[1]
    each = rows // groups  # consecutive rows share a group's projections
    start = u.new_zeros(batch, groups, each, states)
    y = _scan(
        A.view(1, groups, each, states),
        start,
        # The tokens come first.
        delta.view(batch, groups, each, -1, 1).permute(3, 0, 1, 2, 4),
        (delta * u).view(batch, groups, each, -1, 1).permute(3, 0, 1, 2, 4),
        B.permute(3, 0, 1, 2).unsqueeze(-2),
        C.permute(3, 0, 1, 2).unsqueeze(-1),
    )
    y = y.squeeze(-1).permute(1, 2, 3, 0).flatten(1, 2)
    return (y + D[:, None] * u).to(out_dtype)


def _scan(A: Tensor, h: Tensor, steps: Tensor, driven: Tensor, B: Tensor, C: Tensor) -> Tensor:
    if torch.onnx.is_in_onnx_export():
        node: Tensor = _Node.apply(A, h, steps, driven, B, C)
        return node
    if not torch.compiler.is_exporting():
        scanned: Tensor = _loop(A, h, steps, driven, B, C)
        return scanned
    from torch._higher_order_ops.scan import scan

    def step(h: Tensor, token: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        h = torch.exp(token[0] * A) * h + token[1] * token[2]
        return h, torch.matmul(h, token[3])

    y: Tensor = scan(step, h, (steps, driven, B, C))[1]
    return y


@torch.jit.script
def _loop(A: Tensor, h: Tensor, steps: Tensor, driven: Tensor, B: Tensor, C: Tensor) -> Tensor:
    y = torch.empty_like(steps)
    for t in range(steps.shape[0]):
        h = torch.exp(steps[t] * A) * h + driven[t] * B[t]
        y[t] = torch.matmul(h, C[t])
    return y


class _Node(torch.autograd.Function):
    """The loop as one node of a traced graph."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        scanned: Tensor = _loop(*inputs)
        return scanned

    @staticmethod
    def symbolic(graph: Any, *inputs: Any) -> Any:
        """Return the node; its output is like the step sizes."""
        return graph.op(ONNX_NODE, *inputs).setType(inputs[2].type())
