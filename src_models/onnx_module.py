"""An ONNX graph as a module of torch, whose weights learn.

No code of others is run: a graph is a list of operators, of which those of convolutional networks
are known here, see `onnx_operators`. Batch norms keep the statistics that they were stored with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import onnx_convolutions, onnx_layout  # noqa: F401  (their operators)
from .onnx_operators import OPERATORS, Node, NotSupportedError

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

# ONNX's own sets of operators.
DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Program:
    """The steps of a graph.

    Attributes
    ----------
    nodes : tuple of Node
        In the order in which they are computed.
    inputs : tuple of str
        The image, then the weights.
    output : str
        The first one.
    constants : dict of Tensor
        Values that do not learn.
    last_use : tuple of tuple of str
        Values that no step after this one needs, for each step.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    output: str
    constants: dict[str, Tensor]
    last_use: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, model: ModelProto) -> Program:
        """Read a graph.

        Raises
        ------
        NotSupportedError
            If it has an operator that is not known here.
        """
        from onnx import numpy_helper

        version = next((o.version for o in model.opset_import if o.domain in DOMAINS), 1)
        nodes = tuple(_node(each, version) for each in model.graph.node)
        unknown = sorted({n.operator for n in nodes} - OPERATORS.keys())
        if unknown:
            raise NotSupportedError(
                f"it has operators that cannot learn here: {', '.join(unknown)}"
            )
        constants = {
            each.name: _tensor(numpy_helper.to_array(each)) for each in model.graph.initializer
        }
        inputs = tuple(i.name for i in model.graph.input if i.name not in constants)
        output = model.graph.output[0].name
        return cls(nodes, inputs, output, constants, _last_uses(nodes, {output, *constants}))

    def run(self, values: dict[str, Tensor], between: Any) -> Tensor:
        """Return the output for an image and weights, by their names.

        Parameters
        ----------
        values : dict of Tensor
            Gets emptied.
        between : callable
            Called with an input before each step.
        """
        values |= self.constants
        for node, done in zip(self.nodes, self.last_use, strict=True):
            given = [values[name] if name else None for name in node.inputs]
            between(given[0] if given else None)
            found = OPERATORS[node.operator](node, *given)
            several = (found,) if isinstance(found, Tensor) else found
            values |= dict(zip(node.outputs, several, strict=False))
            for name in done:
                values.pop(name, None)
        return values[self.output]


def _node(proto: Any, version: int) -> Node:
    from onnx import TensorProto, helper, numpy_helper

    if proto.domain not in DOMAINS:
        raise NotSupportedError(f"it has operators of others: {proto.domain}.{proto.op_type}"[:100])
    settings: dict[str, Any] = {}
    for each in proto.attribute:
        value = helper.get_attribute_value(each)
        if isinstance(value, TensorProto):
            value = _tensor(numpy_helper.to_array(value))
        settings[each.name] = value.decode() if isinstance(value, bytes) else value
    outputs = list(proto.output)
    while len(outputs) > 1 and not outputs[-1]:
        outputs.pop()
    return Node(proto.op_type, tuple(proto.input), tuple(outputs), settings, version)


def _tensor(array: Any) -> Tensor:
    value = torch.from_numpy(array.copy())
    return value.float() if value.is_floating_point() else value


def _last_uses(nodes: Sequence[Node], kept: set[str]) -> tuple[tuple[str, ...], ...]:
    """Return for each node the values that are not needed after it."""
    seen, found = set(kept), []
    for node in reversed(nodes):
        done = {name for name in (*node.inputs, *node.outputs) if name} - seen
        seen |= done
        found.append(tuple(done))
    return tuple(reversed(found))


class OnnxModule(nn.Module):
    """The weights of an ONNX graph, and what computes it with them.

    Parameters
    ----------
    weights, statistics : sequence of sequence of int
        Shapes of the graph's inputs behind the image: those that learn, and those of batch norms.
    """

    def __init__(
        self, weights: Sequence[Sequence[int]], statistics: Sequence[Sequence[int]] = ()
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(tuple(s))) for s in weights)
        self.count = len(statistics)
        for k, shape in enumerate(statistics):
            self.register_buffer(f"statistics{k}", torch.zeros(tuple(shape)))
        # A layer before each step, so that computing can be stopped there.
        self.between = nn.Identity()

    @property
    def tensors(self) -> list[Tensor]:
        """All of them in the order of the graph's inputs."""
        return [*self.weights, *(getattr(self, f"statistics{k}") for k in range(self.count))]

    def forward(self, image: Tensor, program: Program) -> Tensor:
        """Return the output of a graph for an image, both in the graph's order of axes."""
        names, tensors = program.inputs, (image, *self.tensors)
        return program.run(dict(zip(names, tensors, strict=True)), self.between)


def with_weights(model: ModelProto, tensors: Sequence[Tensor]) -> ModelProto:
    """Return a graph that holds its weights itself, as other programs expect.

    Parameters
    ----------
    model : ModelProto
        With the image and the weights as inputs.
    tensors : sequence of Tensor
        `OnnxModule.tensors`.
    """
    from onnx import ModelProto, numpy_helper

    whole = ModelProto()
    whole.CopyFrom(model)
    names = [each.name for each in whole.graph.input[1:]]
    del whole.graph.input[1:]
    arrays = (tensor.detach().float().cpu().numpy() for tensor in tensors)
    whole.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=True)
    )
    return whole


def without_weights(
    model: ModelProto, learnt: Mapping[str, Sequence[int]], kept: Mapping[str, Sequence[int]]
) -> ModelProto:
    """Return a graph whose weights are inputs behind the image, in the order given.

    Parameters
    ----------
    model : ModelProto
        A graph that holds its weights.
    learnt, kept : mapping
        Shapes by name.
    """
    from onnx import ModelProto, TensorProto, ValueInfoProto, helper

    bare, names = ModelProto(), {**learnt, **kept}
    bare.CopyFrom(model)
    every = {each.name for each in bare.graph.initializer}
    image = next(each for each in bare.graph.input if each.name not in every)
    image = ValueInfoProto.FromString(image.SerializeToString())
    others = [
        TensorProto.FromString(each.SerializeToString())
        for each in bare.graph.initializer
        if each.name not in names
    ]
    for parts in (bare.graph.input, bare.graph.initializer, bare.graph.value_info):
        del parts[:]
    bare.graph.initializer.extend(others)
    bare.graph.input.append(image)
    for name, shape in names.items():
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        bare.graph.input.append(value)
    # Other weights may be for other channels.
    for each in (image, bare.graph.output[0]):
        name_axes(each, [None] * len(each.type.tensor_type.shape.dim))
    bare.graph.input[0].CopyFrom(image)
    return bare


def name_axes(value: ValueInfoProto, axes: Sequence[int | str | None]) -> None:
    """Give each axis of a graph's input or output its length, a name, or nothing."""
    for axis, known in zip(value.type.tensor_type.shape.dim, axes, strict=True):
        axis.Clear()
        if isinstance(known, int):
            axis.dim_value = known
        elif known:
            axis.dim_param = known
