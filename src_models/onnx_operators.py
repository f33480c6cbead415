"""ONNX's operators as torch computes them, with gradients: those of convolutional networks.

Each function takes its node and the node's inputs, None for one that is left out. Sizes of images
are tensors of integers like everything else, so that a graph computes its own. What an operator
means is stated by ONNX's specification for its version; where versions moved a setting from the
attributes to the inputs, both are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Result = Tensor | Sequence[Tensor]
OPERATORS: dict[str, Callable[..., Result]] = {}


class NotSupportedError(ValueError):
    """A graph has an operator, or a setting of one, that cannot be computed here.

    The message is a part of a sentence.
    """


@dataclass(frozen=True)
class Node:
    """A step of a graph.

    Attributes
    ----------
    operator : str
        Its name.
    inputs, outputs : tuple of str
        Names of values; an empty one is left out.
    settings : dict
        Its attributes: numbers, texts, tensors and lists of them.
    version : int
        Of the set of operators.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    version: int = 18

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.settings.get(name, default)

    def numbers(self, name: str, given: Tensor | None, default: Any = None) -> Any:
        """Return a list of numbers from an input, or from the attribute of older versions."""
        return self.get(name, default) if given is None else given.tolist()

    def require(self, right: bool, what: str) -> None:
        """Refuse the node for a reason."""
        if not right:
            raise NotSupportedError(f"it has {self.operator} with {what}, which cannot learn here")


def operator(*names: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Make a function compute the operators of some names."""

    def add(function: Callable[..., Result]) -> Callable[..., Result]:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return add


def aligned(values: Sequence[Tensor | None]) -> list[Any]:
    """Return values on the device of the first that is not on the CPU, without moving numbers."""
    device = next((v.device for v in values if v is not None and v.device.type != "cpu"), None)
    if device is None:
        return list(values)
    return [v if v is None or v.ndim == 0 else v.to(device) for v in values]


# ---------------------------------------------------------------------- elementwise
def _elementwise(function: Any) -> Callable[..., Tensor]:
    def compute(node: Node, *values: Tensor) -> Tensor:
        found: Tensor = function(*aligned(values))
        return found

    return compute


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return an operator of any number of inputs from a function of two."""

    def compute(node: Node, *values: Tensor) -> Tensor:
        first, *others = aligned(values)
        total: Tensor = first
        for other in others:
            total = function(total, other)
        return total

    return compute


OPERATORS |= {
    name: _elementwise(function)
    for name, function in {
        "Abs": torch.abs,
        "Add": torch.add,
        "And": torch.logical_and,
        "Ceil": torch.ceil,
        "Equal": torch.eq,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Floor": torch.floor,
        "Greater": torch.gt,
        "GreaterOrEqual": torch.ge,
        "HardSwish": F.hardswish,
        "Less": torch.lt,
        "LessOrEqual": torch.le,
        "Log": torch.log,
        "Mish": F.mish,
        "Mul": torch.mul,
        "Neg": torch.neg,
        "Not": torch.logical_not,
        "Or": torch.logical_or,
        "Reciprocal": torch.reciprocal,
        "Relu": F.relu,
        "Round": torch.round,
        "Sigmoid": torch.sigmoid,
        "Sign": torch.sign,
        "Softplus": F.softplus,
        "Softsign": F.softsign,
        "Sqrt": torch.sqrt,
        "Sub": torch.sub,
        "Tanh": torch.tanh,
        "Where": torch.where,
    }.items()
}
OPERATORS |= {
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Sum": _folded(torch.add),
}


@operator("Div")
def _div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    x, y = aligned((x, y))
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@operator("Mod")
def _mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    x, y = aligned((x, y))
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


@operator("Pow")
def _pow(node: Node, x: Tensor, y: Tensor) -> Tensor:
    x, y = aligned((x, y))
    power: Tensor = torch.pow(x, y)
    return power.to(x.dtype)


@operator("LeakyRelu")
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node.get("alpha", 0.01))


@operator("PRelu")
def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    x, slope = aligned((x, slope))
    return torch.where(x < 0, slope * x, x)


@operator("Elu")
def _elu(node: Node, x: Tensor) -> Tensor:
    return F.elu(x, node.get("alpha", 1.0))


@operator("Celu")
def _celu(node: Node, x: Tensor) -> Tensor:
    return F.celu(x, node.get("alpha", 1.0))


@operator("Selu")
def _selu(node: Node, x: Tensor) -> Tensor:
    alpha, gamma = node.get("alpha", 1.6732632), node.get("gamma", 1.0507010)
    found: Tensor = gamma * F.elu(x, alpha)
    return found


@operator("HardSigmoid")
def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    line: Tensor = node.get("alpha", 0.2) * x + node.get("beta", 0.5)
    return line.clamp(0, 1)


@operator("Gelu")
def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.get("approximate", "none"))


@operator("Clip")
def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = node.get("min") if low is None else low.item()
    most = node.get("max") if high is None else high.item()
    return x if least is None and most is None else x.clamp(least, most)


@operator("Softmax", "LogSoftmax")
def _softmax(node: Node, x: Tensor) -> Tensor:
    function = torch.softmax if node.operator == "Softmax" else torch.log_softmax
    if node.version >= 13:
        found: Tensor = function(x, node.get("axis", -1))
        return found
    # Before, all axes from this one on were taken as one.
    axis = node.get("axis", 1) % x.ndim
    flat: Tensor = function(x.flatten(axis), axis)
    return flat.reshape(x.shape)


@operator("Identity", "Dropout")
def _identity(node: Node, x: Tensor, *rest: Tensor) -> Tensor:
    return x


# ---------------------------------------------------------------------- norms and products
@operator("BatchNormalization")
def _batch_norm(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    node.require(not node.get("training_mode", 0), "the statistics of its batch")
    x, scale, bias, mean, variance = aligned((x, scale, bias, mean, variance))
    return F.batch_norm(x, mean, variance, scale, bias, eps=node.get("epsilon", 1e-5))


@operator("InstanceNormalization")
def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    x, scale, bias = aligned((x, scale, bias))
    return F.instance_norm(x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


@operator("GroupNormalization")
def _group_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    x, scale, bias = aligned((x, scale, bias))
    groups = node.get("num_groups")
    if node.version < 21:  # one number for each group
        each = x.shape[1] // groups
        scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return F.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


@operator("LayerNormalization")
def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    node.require(len(node.outputs) == 1, "its statistics")
    x, scale, bias = aligned((x, scale, bias))
    shape = x.shape[node.get("axis", -1) :]
    return F.layer_norm(x, shape, scale, bias, node.get("epsilon", 1e-5))


@operator("MatMul")
def _matmul(node: Node, x: Tensor, y: Tensor) -> Tensor:
    x, y = aligned((x, y))
    return x @ y


@operator("Gemm")
def _gemm(node: Node, x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
    x, y, z = aligned((x, y, z))
    x = x.T if node.get("transA", 0) else x
    y = y.T if node.get("transB", 0) else y
    product: Tensor = node.get("alpha", 1.0) * (x @ y)
    return product if z is None else product + node.get("beta", 1.0) * z


@operator("Einsum")
def _einsum(node: Node, *values: Tensor) -> Tensor:
    return torch.einsum(node.get("equation"), *aligned(values))


def _reduced(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def compute(node: Node, x: Tensor, given: Tensor | None = None) -> Tensor:
        axes = node.numbers("axes", given)
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        return function(x, tuple(axes), keepdim=bool(node.get("keepdims", 1)))

    return compute


OPERATORS |= {
    "ReduceL1": _reduced(lambda x, axes, keepdim: x.abs().sum(axes, keepdim=keepdim)),
    "ReduceL2": _reduced(lambda x, axes, keepdim: x.square().sum(axes, keepdim=keepdim).sqrt()),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceMin": _reduced(torch.amin),
    "ReduceSum": _reduced(torch.sum),
    "ReduceSumSquare": _reduced(lambda x, axes, keepdim: x.square().sum(axes, keepdim=keepdim)),
}
