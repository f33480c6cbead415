"""ONNX's operators that move values, and those that compute sizes; see `onnx_operators`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .onnx_operators import Node, Result, aligned, operator

# ONNX's numbers for the types of values, as far as networks use them.
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float32,  # float16: as precise as everything around it
    11: torch.float32,  # float64
}


# ---------------------------------------------------------------------- order and shape
@operator("Transpose")
def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(*(node.get("perm") or reversed(range(x.ndim))))


@operator("Reshape")
def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    wanted = shape.tolist()
    if not node.get("allowzero", 0):
        wanted = [x.shape[k] if side == 0 else side for k, side in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    rows = math.prod(x.shape[: axis + x.ndim if axis < 0 else axis])
    return x.reshape(rows, -1)


@operator("Squeeze")
def _squeeze(node: Node, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = node.numbers("axes", given)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("Unsqueeze")
def _unsqueeze(node: Node, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = node.numbers("axes", given)
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Expand")
def _expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


@operator("Tile")
def _tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(*repeats.tolist())


@operator("Concat")
def _concat(node: Node, *values: Tensor) -> Tensor:
    return torch.cat(aligned(values), dim=node.get("axis"))


@operator("Split")
def _split(node: Node, x: Tensor, given: Tensor | None = None) -> Result:
    axis, sizes = node.get("axis", 0), node.numbers("split", given)
    if sizes is None:
        sizes = -(-x.shape[axis] // node.get("num_outputs", len(node.outputs)))
    parts: Result = torch.split(x, sizes, axis)
    return parts


@operator("Slice")
def _slice(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    given: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    begins, stops = node.numbers("starts", starts), node.numbers("ends", ends)
    axes = node.numbers("axes", given) or list(range(len(begins)))
    strides = [1] * len(begins) if steps is None else steps.tolist()
    for axis, begin, stop, stride in zip(axes, begins, stops, strides, strict=True):
        # Python's slices count as ONNX's do, but torch has none with a negative step.
        low = -(x.shape[axis] + 1)
        span = range(x.shape[axis])[begin : max(stop, low) if stop < 0 else stop : stride]
        if stride > 0:
            x = x.narrow(axis, span.start, max(0, span.stop - span.start))
            x = x[(slice(None),) * (axis % x.ndim) + (slice(None, None, stride),)]
        else:
            x = x.index_select(axis, torch.tensor(list(span), dtype=torch.int64, device=x.device))
    return x


@operator("Gather")
def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.ndim
    places = indices.to(x.device, torch.int64)
    places = torch.where(places < 0, places + x.shape[axis], places)
    found = x.index_select(axis, places.flatten())
    return found.reshape((*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))


@operator("Pad")
def _pad(
    node: Node,
    x: Tensor,
    given: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    pads = list(node.numbers("pads", given, node.get("paddings")))
    of = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    both = {axis: (pads[k], pads[len(pads) // 2 + k]) for k, axis in enumerate(of)}
    mode = {"edge": "replicate", "wrap": "circular"}.get(kind := node.get("mode", "constant"), kind)
    if mode == "constant":
        flat = [pad for axis in reversed(range(x.ndim)) for pad in both.get(axis, (0, 0))]
        return F.pad(x, flat, value=node.get("value", 0.0) if value is None else value.item())
    padded = [axis for axis, pad in both.items() if any(pad)]
    node.require(all(axis >= 2 for axis in padded), f"{mode} of another axis than those of images")
    dims = x.ndim - 2
    flat = [pad for axis in reversed(range(2, 2 + dims)) for pad in both.get(axis, (0, 0))]
    return F.pad(x, flat, mode=mode) if padded else x


@operator("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    side = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, side)
    b, c, h, w = x.shape
    parts = x.reshape(b, side, side, c // side**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(b, c // side**2, h * side, w * side)


@operator("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    side = node.get("blocksize")
    b, c, h, w = x.shape
    parts = x.reshape(b, c, h // side, side, w // side, side).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(b, c * side**2, h // side, w // side)


# ---------------------------------------------------------------------- numbers and sizes
@operator("Constant")
def _constant(node: Node) -> Tensor:
    (value,) = node.settings.values()
    return value if isinstance(value, Tensor) else torch.tensor(value)


@operator("Shape")
def _shape(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.shape)[node.get("start", 0) : node.get("end")]


@operator("Size")
def _size(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


@operator("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    value = node.get("value", torch.zeros(1))
    filled: Tensor = value.reshape(()).expand(shape.tolist())
    return filled


@operator("Range")
def _range(node: Node, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


@operator("Cast")
def _cast(node: Node, x: Tensor) -> Tensor:
    node.require(node.get("to") in TYPES, f"the type {node.get('to')}")
    return x.to(TYPES[node.get("to")])


@operator("CastLike")
def _cast_like(node: Node, x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


# ---------------------------------------------------------------------- other sizes of images
@operator("Upsample")
def _upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Result:
    return _resize(node, x, None, scales, None)


@operator("Resize")
def _resize(
    node: Node,
    x: Tensor,
    region: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    if node.operator == "Resize" and node.version < 11:
        region, scales = None, region
    node.require(not node.get("antialias", 0), "antialias")
    node.require(node.get("keep_aspect_ratio_policy", "stretch") == "stretch", "a kept aspect")
    axes = [axis % x.ndim for axis in node.get("axes") or range(x.ndim)]
    factors = None if scales is None else node.numbers("scales", scales)
    factors = factors or (node.get("scales") if sizes is None else None)
    if sizes is not None and sizes.numel():
        wanted = sizes.tolist()
        factors = [side / x.shape[axis] for axis, side in zip(axes, wanted, strict=True)]
    else:
        node.require(bool(factors), "neither scales nor sizes")
        assert factors is not None
        wanted = [math.floor(x.shape[a] * f) for a, f in zip(axes, factors, strict=True)]
    resized = {
        axis: (side, factor)
        for axis, side, factor in zip(axes, wanted, factors, strict=True)
        if side != x.shape[axis] or factor != 1
    }
    if not resized:
        return x
    quick = _quickly_resized(node, x, resized)
    if quick is not None:
        return quick
    for axis, (side, factor) in resized.items():
        x = _resized_axis(node, x, axis, side, factor)
    return x


def _coordinates(node: Node) -> str:
    """Return how places in the output are those of the input."""
    if node.operator == "Upsample" or node.version < 11:
        return "asymmetric"
    return str(node.get("coordinate_transformation_mode", "half_pixel"))


def _quickly_resized(node: Node, x: Tensor, resized: dict[int, tuple[int, float]]) -> Tensor | None:
    """Return what torch's own function computes, where it does the same; else None."""
    kind, mode = _coordinates(node), node.get("mode", "nearest")
    exact = all(abs(x.shape[a] * f - side) < 1e-4 for a, (side, f) in resized.items())
    if x.ndim != 4 or not exact or min(resized) < 2:
        return None
    size = [resized.get(axis, (x.shape[axis], 1.0))[0] for axis in (2, 3)]
    if mode == "nearest":
        whole = all(side % x.shape[axis] == 0 for axis, (side, _) in resized.items())
        floored = kind == "asymmetric" and _nearest(node) == "floor"
        halves = "half_pixel" in kind and not kind.startswith("tf") and _nearest(node) != "ceil"
        # Of whole factors; rounded halves are the same pixels then.
        halves = halves and _nearest(node).startswith("round")
        return F.interpolate(x, size=size) if whole and (floored or halves) else None
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode)
    usual = mode != "cubic" or (
        node.get("cubic_coeff_a", -0.75) == -0.75 and not node.get("exclude_outside", 0)
    )
    corners = kind == "align_corners"
    halves = kind in ("half_pixel", "pytorch_half_pixel") and min(size) > 1
    if name is None or not usual or not (corners or halves):
        return None
    return F.interpolate(x, size=size, mode=name, align_corners=corners)


def _nearest(node: Node) -> str:
    if node.operator == "Upsample" or node.version < 11:
        return "floor"
    return str(node.get("nearest_mode", "round_prefer_floor"))


_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
}


def _resized_axis(node: Node, x: Tensor, axis: int, side: int, factor: float) -> Tensor:
    """Return an image with another length of one axis, nearest or linear."""
    mode, length = node.get("mode", "nearest"), x.shape[axis]
    node.require(mode in ("nearest", "linear"), f"mode {mode}")
    at = _places(node, side, length, factor)

    def taken(places: np.ndarray) -> Tensor:
        inside = torch.from_numpy(places.clip(0, length - 1).astype(np.int64))
        return x.index_select(axis, inside.to(x.device))

    if mode == "nearest":
        return taken(_ROUNDINGS[_nearest(node)](at))
    at = at.clip(0, length - 1)
    below = np.floor(at)
    shape = [-1 if k == axis else 1 for k in range(x.ndim)]
    share = torch.from_numpy((at - below).astype(np.float32)).to(x).reshape(shape)
    return torch.lerp(taken(below), taken(below + 1), share)


def _places(node: Node, side: int, length: int, factor: float) -> np.ndarray:
    """Return where each place of the output lies in the input, in its pixels."""
    kind = _coordinates(node)
    # As precise as ONNX Runtime, which decides where a half is rounded to.
    out, times = np.arange(side, dtype=np.float32), np.float32(factor)
    if kind == "asymmetric":
        return out / times
    if kind == "align_corners":
        return out * np.float32(length - 1) / np.float32(max(1, side - 1))
    if kind == "tf_half_pixel_for_nn":
        return (out + np.float32(0.5)) / times
    if kind == "pytorch_half_pixel" and side == 1:
        return np.zeros(1, np.float32)
    node.require(
        kind in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"), f"coordinates {kind}"
    )
    adjusted = side / (factor * length) if kind == "half_pixel_symmetric" else 1.0
    offset = np.float32(length / 2 * (1 - adjusted))
    return offset + ((out + np.float32(0.5)) / times - np.float32(0.5))
