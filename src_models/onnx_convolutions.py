"""ONNX's convolutions and pooling; see `onnx_operators`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .onnx_operators import Node, aligned, operator


def _end_padded(
    node: Node, x: Tensor, kernel: Sequence[int], value: float
) -> tuple[Tensor, list[int]]:
    """Return an image that needs the same padding at both ends of an axis, and that padding."""
    dims = len(kernel)
    strides, dilations = _strides(node, dims), _dilations(node, dims)
    pads, kind = list(node.get("pads") or [0] * (2 * dims)), node.get("auto_pad", "NOTSET")
    if kind.startswith("SAME"):
        for k, (side, stride) in enumerate(zip(x.shape[2:], strides, strict=True)):
            reach = dilations[k] * (kernel[k] - 1) + 1
            missing = max(0, (-(-int(side) // stride) - 1) * stride + reach - int(side))
            before = missing // 2 if kind == "SAME_UPPER" else missing - missing // 2
            pads[k], pads[dims + k] = before, missing - before
    begins, ends = pads[:dims], pads[dims:]
    # torch's pooling takes no padding of more than half a kernel, and no negative one.
    if begins == ends and all(0 <= b <= k // 2 for b, k in zip(begins, kernel, strict=True)):
        return x, begins
    both = [pad for k in reversed(range(dims)) for pad in (begins[k], ends[k])]
    return F.pad(x, both, value=value), [0] * dims


def _strides(node: Node, dims: int) -> list[int]:
    return list(node.get("strides") or [1] * dims)


def _dilations(node: Node, dims: int) -> list[int]:
    return list(node.get("dilations") or [1] * dims)


def _of_dims(node: Node, dims: int, *functions: Any) -> Any:
    node.require(1 <= dims <= len(functions), f"{dims} axes")
    return functions[dims - 1]


@operator("Conv")
def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight, bias = aligned((x, weight, bias))
    dims = weight.ndim - 2
    x, padding = _end_padded(node, x, weight.shape[2:], 0.0)
    conv = _of_dims(node, dims, F.conv1d, F.conv2d, F.conv3d)
    found: Tensor = conv(
        x, weight, bias, _strides(node, dims), padding, _dilations(node, dims), node.get("group", 1)
    )
    return found


@operator("ConvTranspose")
def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight, bias = aligned((x, weight, bias))
    dims = weight.ndim - 2
    node.require(node.get("output_shape") is None, "an output_shape")
    node.require(node.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"), "auto_pad")
    pads = node.get("pads") or [0] * (2 * dims)
    begins, ends = list(pads[:dims]), list(pads[dims:])
    conv = _of_dims(node, dims, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
    whole = begins if begins == ends else [0] * dims
    found: Tensor = conv(
        x,
        weight,
        bias,
        _strides(node, dims),
        whole,
        node.get("output_padding") or [0] * dims,
        node.get("group", 1),
        _dilations(node, dims),
    )
    if begins != ends:
        for k in range(dims):
            found = found.narrow(2 + k, begins[k], found.shape[2 + k] - begins[k] - ends[k])
    return found


@operator("MaxPool")
def _max_pool(node: Node, x: Tensor) -> Tensor:
    node.require(len(node.outputs) == 1, "indices")
    kernel = list(node.get("kernel_shape"))
    dims = len(kernel)
    x, padding = _end_padded(node, x, kernel, -math.inf)
    pool = _of_dims(node, dims, F.max_pool1d, F.max_pool2d, F.max_pool3d)
    ceil = bool(node.get("ceil_mode", 0))
    pooled: Tensor = pool(
        x, kernel, _strides(node, dims), padding, _dilations(node, dims), ceil_mode=ceil
    )
    return pooled


@operator("AveragePool")
def _average_pool(node: Node, x: Tensor) -> Tensor:
    kernel = list(node.get("kernel_shape"))
    dims = len(kernel)
    node.require(set(_dilations(node, dims)) == {1}, "dilations")
    pool = _of_dims(node, dims, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
    strides, ceil = _strides(node, dims), bool(node.get("ceil_mode", 0))
    counted = bool(node.get("count_include_pad", 0))
    padded, padding = _end_padded(node, x, kernel, 0.0)
    pooled: Tensor = pool(padded, kernel, strides, padding, ceil, counted)
    if padded is x or counted:
        return pooled
    inside, _ = _end_padded(node, torch.ones_like(x[:1, :1]), kernel, 0.0)
    share: Tensor = pool(inside, kernel, strides, 0, ceil, True)
    return pooled / share


@operator("GlobalAveragePool")
def _global_average(node: Node, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def _global_max(node: Node, x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)
