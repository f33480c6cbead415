"""Fine-tuned models of other programs as ONNX files again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from src_models.readout_kinds import PIXEL_FEATURES

from ..checkpoints import CheckpointInfo, CheckpointStore, without_paths
from ..errors import SegliteError
from ..formats import replacing
from ..runtime import graphs
from .extra import needed
from .graph_files import METADATA
from .learning import largest_difference

# Options that a file with the weights in it does not need.
_LEFT_OUT = (
    *("weights", "statistics", "together", "first", "last", "obstacle"),
    *("size", PIXEL_FEATURES),
)


def write_graph(store: CheckpointStore, name: str, target: Path) -> Path:
    """Write the graph of a checkpoint with its present weights.

    It takes and returns what the model of the other program does, but for a last step that made
    probabilities, which it lacks. SegLite's card is in the metadata.

    Parameters
    ----------
    store : CheckpointStore
        Holds the checkpoint.
    name : str
        Its id.
    target : Path
        The file.

    Raises
    ------
    SegliteError
        If the graph cannot be fine-tuned, is not the whole network, or computes something else.
    """
    with needed("Writing ONNX"):
        import onnx
        import onnxruntime  # noqa: F401

    info, network = store.load(name)
    if info.obstacle:
        raise SegliteError(f"{info.id} is a model of another program. Pass on its own file.")
    if info.options.get(PIXEL_FEATURES):
        raise SegliteError(
            f"{info.id} also reads simple features of the image, which its graph does not hold, so "
            "it cannot be written as ONNX."
        )
    graph: Any = network.eval()
    model = onnx.load_from_string(graph.whole_file())
    _name_axes(model.graph, info)
    card = info.as_dict() | {"curves": {}, "settings": {}}
    facts = {"divisor": str(info.options["divisor"]), METADATA: json.dumps(without_paths(card))}
    onnx.helper.set_model_props(model, facts)
    content = model.SerializeToString()
    gap = largest_difference(_read_back(info, content), graph, info)
    if not gap < graphs.TOLERANCE:
        raise SegliteError(
            f"{info.id} was not written as ONNX: what the file computes differs from what the "
            f"checkpoint computes by {gap:.1e} of its range."
        )
    with replacing(target) as scratch:
        scratch.write_bytes(content)
    return target


def _read_back(info: CheckpointInfo, content: bytes) -> Any:
    """Return the network of a graph that holds its weights itself."""
    import torch

    whole = replace(info, options=kept_options(info) | {"size": len(content)})
    network = whole.build()
    network.load_state_dict({"file": torch.frombuffer(bytearray(content), dtype=torch.uint8)})
    return network.eval()


def _name_axes(graph: Any, info: CheckpointInfo) -> None:
    """Say what the axes of the image and of the output are, and how long those that are known."""
    from src_models.onnx_module import name_axes

    height, width = info.options["fixed"] or ("y", "x")
    outputs = info.classes + info.head_channels
    for value, channels in ((graph.input[0], info.in_channels), (graph.output[0], outputs)):
        known = {"b": "b", "c": channels, "y": height, "x": width}
        if len(value.type.tensor_type.shape.dim) == len(info.options["axes"]):
            name_axes(value, [known[axis] for axis in info.options["axes"]])


def kept_options(card: CheckpointInfo) -> dict[str, Any]:
    """Return the options of a card that describe a graph as it was written."""
    return {name: value for name, value in card.options.items() if name not in _LEFT_OUT}
