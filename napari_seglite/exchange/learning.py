"""Graphs of other programs that can be fine-tuned: their weights beside them, and a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoints import CheckpointInfo, printable

if TYPE_CHECKING:
    from onnx import GraphProto
    from torch import Tensor

    from src_models.graph_network import GraphNetwork

# Weights of a network that still counts as a light one.
MOST_WEIGHTS = 40_000_000
# Sides in pixels of the images of a graph that takes only one size and still learns from patches.
SMALLEST, LARGEST = 32, 512
# Inputs of operators that learn, if they are stored with the graph, and those of statistics.
_LEARNT = {
    **dict.fromkeys(("Conv", "ConvTranspose"), (1, 2)),
    **dict.fromkeys(("Gemm", "MatMul", "Add", "Sub", "Mul", "Div"), (0, 1, 2)),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), (1, 2)),
    **dict.fromkeys(("GroupNormalization", "LayerNormalization"), (1, 2)),
    "PRelu": (1,),
    **dict.fromkeys(("Transpose", "Reshape", "Unsqueeze"), (0,)),
}
_STATISTICS = {"BatchNormalization": (3, 4)}
# What may lie between the image and the first layer, or the last layer and the output.
_PASSES = ("Identity", "Transpose", "Cast", "Dropout")


class _NoLearningError(Exception):
    """A reason why a graph does not learn, a part of a sentence."""


def with_weights_beside(
    info: CheckpointInfo, graph: bytes
) -> tuple[CheckpointInfo, dict[str, Tensor]]:
    """Return card and state of a graph, with its weights beside it if they can learn.

    A graph learns if its operators are known to `src_models.onnx_operators`, it is not too heavy
    (`MOST_WEIGHTS`), a patch fits its size, gradients reach its weights, and torch computes what
    ONNX Runtime does. Else the card says why it does not.

    Parameters
    ----------
    info : CheckpointInfo
        Card of a graph that holds its weights itself.
    graph : bytes
        The content of its file.
    """
    import torch

    from src_models.onnx_operators import NotSupportedError

    whole = {"file": torch.frombuffer(bytearray(graph), dtype=torch.uint8)}
    info = _with(info, size=len(graph))
    try:
        return _learning(info, graph, whole)
    except (_NoLearningError, NotSupportedError) as error:
        reason = printable(str(error))
    except Exception as error:  # whatever torch raises for a graph that it cannot compute
        reason = f"torch cannot compute it ({printable(str(error))[:200]})"
    return _with(info, obstacle=reason), whole


def _learning(
    info: CheckpointInfo, graph: bytes, whole: dict[str, Tensor]
) -> tuple[CheckpointInfo, dict[str, Tensor]]:
    import onnx
    import torch
    from onnx import numpy_helper

    from src_models.onnx_module import Program, without_weights

    _check_size(info)
    model = onnx.load_from_string(graph)
    Program.read(model)
    _untie(model.graph)
    learnt, kept = _weights(model.graph)
    _check_weights(model.graph, learnt)
    probabilities = _without_probabilities(info, model.graph)
    bare = without_weights(model, learnt, kept).SerializeToString()
    first, last = _ends(model.graph, list(learnt))
    changed = _with(
        info,
        size=len(bare),
        weights=list(learnt.values()),
        statistics=list(kept.values()),
        probabilities=probabilities,
        first=first,
        last=[] if probabilities else last,
    )
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    tensors = [torch.from_numpy(arrays[name].copy()) for name in (*learnt, *kept)]
    state = {f"module.weights.{k}": tensors[k] for k in range(len(learnt))}
    state |= {f"module.statistics{k}": tensors[len(learnt) + k] for k in range(len(kept))}
    state["file"] = torch.frombuffer(bytearray(bare), dtype=torch.uint8)
    together = _compared(info, whole, changed, state)
    return _with(changed, together=together), state


def _with(info: CheckpointInfo, **options: Any) -> CheckpointInfo:
    from dataclasses import replace

    return replace(info, options={**info.options, **options})


def _check_size(info: CheckpointInfo) -> None:
    fixed = info.options["fixed"]
    if fixed and not SMALLEST <= min(fixed) <= max(fixed) <= LARGEST:
        raise _NoLearningError(
            f"it takes images of {fixed[0]} x {fixed[1]} pixels alone, and patches that are learnt "
            f"from have at most {LARGEST} x {LARGEST}"
        )
    if info.options["smallest"] > LARGEST:
        raise _NoLearningError(
            f"it takes images from {info.options['smallest']} pixels a side on, and patches that "
            f"are learnt from have at most {LARGEST}"
        )


# ---------------------------------------------------------------------- the weights of a graph
def _untie(graph: GraphProto) -> None:
    """Give every layer weights of its own.

    Exporters store equal weights once, which are equal by chance, such as biases of zero; and some
    hold weights in nodes.
    """
    from onnx import TensorProto

    stored = {each.name: each for each in graph.initializer}
    for node in list(graph.node):
        same = node.op_type == "Identity" and stored.get(node.input[0])
        held = node.op_type == "Constant" and next(
            (a.t for a in node.attribute if a.name == "value"), None
        )
        value = same or held
        if not value or value.data_type != TensorProto.FLOAT:
            continue
        if node.output[0] in {each.name for each in graph.output}:
            continue
        copy = graph.initializer.add()
        copy.CopyFrom(value)
        copy.name = node.output[0]
        stored[copy.name] = copy
        graph.node.remove(node)


def _weights(graph: GraphProto) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return the shapes of the weights that learn and of statistics, by name."""
    from onnx import TensorProto

    stored = {each.name: each for each in graph.initializer}
    uses = [
        (node.op_type, k, name)
        for node in graph.node
        for k, name in enumerate(node.input)
        if name in stored
    ]
    kept = {name for kind, k, name in uses if k in _STATISTICS.get(kind, ())}
    other = {name for kind, k, name in uses if k not in _LEARNT.get(kind, ())}
    # Single numbers are parts of formulas, such as the halves of a GELU.
    learnt = {name for _, _, name in uses if int(np.prod(stored[name].dims)) > 1} - other - kept
    learnt |= {name for kind, k, name in uses if kind in ("Conv", "ConvTranspose") and k} - other
    found: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    for name, each in stored.items():
        if name in learnt and each.data_type in (TensorProto.FLOAT16, TensorProto.DOUBLE):
            raise _NoLearningError("its weights are no numbers of 32 bits")
        if each.data_type == TensorProto.FLOAT and name in learnt | kept:
            found[name in kept][name] = [int(side) for side in each.dims]
    return found


def _check_weights(graph: GraphProto, learnt: dict[str, list[int]]) -> None:
    total = sum(int(np.prod(shape)) for shape in learnt.values())
    kernels = {n.input[1] for n in graph.node if n.op_type in ("Conv", "ConvTranspose", "MatMul")}
    if not kernels & learnt.keys():
        raise _NoLearningError("it has no layers whose weights are stored in it")
    if total > MOST_WEIGHTS:
        raise _NoLearningError(
            f"it has {total / 1e6:.1f} million weights, and light networks have at most "
            f"{MOST_WEIGHTS / 1e6:.0f} million"
        )


# ---------------------------------------------------------------------- its first and last steps
def ends_in_probabilities(graph: bytes) -> bool:
    """Whether the last step of a graph makes probabilities, if no description says so."""
    import onnx

    model = onnx.load_from_string(graph).graph
    kinds = {node.op_type for node in _back(model, model.output[0].name)}
    return bool(kinds & {"Sigmoid", "Softmax"})


def _without_probabilities(info: CheckpointInfo, graph: GraphProto) -> bool:
    """Let a graph return logits if its last step makes them probabilities; return if they stay."""
    if not info.options["probabilities"]:
        return False
    independent = info.options["independent"] or info.classes + info.head_channels == 1
    for node in _back(graph, graph.output[0].name):
        if node.op_type == ("Sigmoid" if independent else "Softmax"):
            node.op_type = "Identity"
            del node.attribute[:]
            return False
    return True


def _ends(graph: GraphProto, names: list[str]) -> tuple[int | None, list[int]]:
    """Return which weight is the first layer's, and which ones are those of the last layer."""
    first, last = None, []
    reading = [n for n in _ahead(graph) if n.op_type not in _PASSES]
    if len(reading) == 1 and _replaceable(reading[0], names):
        first = names.index(reading[0].input[1])
    for node in _back(graph, graph.output[0].name):
        if _replaceable(node, names):
            last = [names.index(name) for name in node.input[1:]]
    return first, last


def _replaceable(node: Any, names: list[str]) -> bool:
    group = next((a.i for a in node.attribute if a.name == "group"), 1)
    return bool(node.op_type == "Conv" and group == 1 and set(node.input[1:]) <= set(names))


def _back(graph: GraphProto, name: str) -> Iterator[Any]:
    """Yield the node of a value, and those before it as long as they pass it on."""
    makers = {output: node for node in graph.node for output in node.output}
    while (node := makers.get(name)) is not None:
        name, passes = node.input[0] if node.input else "", node.op_type in _PASSES
        yield node
        if not passes:
            return


def _ahead(graph: GraphProto) -> list[Any]:
    """Return all nodes that read the image, or what passes it on."""
    stored = {each.name for each in graph.initializer}
    names, found = {each.name for each in graph.input} - stored, []
    for node in graph.node:
        if names & set(node.input):
            found.append(node)
            if node.op_type in _PASSES:
                names |= set(node.output)
    return found


# ---------------------------------------------------------------------- the comparison
def _compared(
    info: CheckpointInfo,
    whole: dict[str, Tensor],
    changed: CheckpointInfo,
    state: dict[str, Tensor],
) -> bool:
    """Compare torch with ONNX Runtime at some sizes; return whether it takes images together."""
    import torch

    from ..runtime import graphs

    theirs, ours = _built(info, whole), _built(changed, state)
    gap = largest_difference(theirs, ours, info)
    if not gap < graphs.TOLERANCE:
        raise _NoLearningError(
            f"torch computes something else than ONNX Runtime, by {gap:.1e} of its range"
        )
    both = torch.cat([_noise(info, _sizes(info)[0], seed) for seed in range(2)])
    with torch.no_grad():
        wanted = torch.cat([_output(theirs, info, image[None]) for image in both])
    ours.train()(both[:1]).square().sum().backward()
    assert ours.module is not None
    if not any(w.grad is not None and w.grad.any() for w in ours.module.weights):
        raise _NoLearningError("its output does not change smoothly with its weights")
    ours.together = True
    try:
        with torch.no_grad():
            found = _output(ours, info, both)
        return graphs.difference(found.numpy(), wanted.numpy()) < graphs.TOLERANCE
    except Exception:  # it counts the images
        return False


def largest_difference(theirs: GraphNetwork, ours: GraphNetwork, info: CheckpointInfo) -> float:
    """Return by how much two networks differ at a few sizes, as a share of the first's range.

    Parameters
    ----------
    theirs, ours : GraphNetwork
        In evaluation mode.
    info : CheckpointInfo
        Card of the first.
    """
    import torch

    from ..runtime import graphs

    gaps = []
    for sides in _sizes(info):
        image = _noise(info, sides)
        with torch.no_grad():
            wanted, found = _output(theirs, info, image), _output(ours, info, image)
        gaps.append(graphs.difference(found.numpy(), wanted.numpy()))
    return max(gaps, key=lambda gap: (gap != gap, gap))


def _built(info: CheckpointInfo, state: dict[str, Tensor]) -> GraphNetwork:
    network: Any = info.build()
    network.load_state_dict(state)
    built: GraphNetwork = network.eval()
    return built


def _sizes(info: CheckpointInfo) -> list[tuple[int, int]]:
    """Return a few sizes that the graph takes."""
    options = info.options
    if options["fixed"]:
        return [tuple(options["fixed"])]
    step = options["divisor"]
    side = max(2 * step, options["smallest"], 64)
    side += -side % step
    return [(side, side), (side, side + step), (side + 3 * step, side)]


def _noise(info: CheckpointInfo, sides: tuple[int, int], seed: int = 0) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, info.in_channels, *sides), generator=generator)


def _output(network: GraphNetwork, info: CheckpointInfo, image: Tensor) -> Tensor:
    """Return logits, or probabilities of a graph that returned those."""
    values: Tensor = network(image)
    if not info.options["probabilities"]:
        return values
    return values.sigmoid() if network.independent else values.softmax(1)
