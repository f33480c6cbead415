"""The selective scan of S-Net as ONNX's operator ``Scan``.

Exporters of traced networks know no ``Scan``. They write a node of our own for it, which no other
program could run, and this module puts the operator in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_models.selective_scan.graph import ONNX_NODE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_DOMAIN, _, _NAME = ONNX_NODE.partition("::")
# Of the node's inputs; the first is the same for all tokens, and the second the state.
_RATES, _STATE, _SCANNED = "rates", "state", ("step", "driven", "b", "c")


def insert(model: ModelProto) -> None:
    """Replace every `ONNX_NODE` of a model by ``Scan``, in place."""
    from onnx import helper

    for number, node in enumerate(model.graph.node):
        if (node.domain, node.op_type) != (_DOMAIN, _NAME):
            continue
        rates, *inputs = node.input
        outputs = [f"{node.output[0]}_state", *node.output]
        scan = helper.make_node(
            "Scan",
            inputs,
            outputs,
            node.name,
            body=_step(rates, f"scan{number}_"),
            num_scan_inputs=len(_SCANNED),
        )
        node.CopyFrom(scan)
    kept = [opset for opset in model.opset_import if opset.domain != _DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _step(rates: str, prefix: str) -> GraphProto:
    """Return the graph of a token: ``h = exp(step * A) * h + driven * B``, ``y = h C``.

    Parameters
    ----------
    rates : str
        Name of A in the graph around it.
    prefix : str
        Of the names in the graph, which must be those of no other.
    """
    from onnx import TensorProto, helper

    state, step, driven, b, c = (f"{prefix}{name}" for name in (_STATE, *_SCANNED))
    decay, kept, fresh, following, y = (f"{prefix}{k}" for k in range(5))
    nodes = [
        helper.make_node("Mul", [step, rates], [f"{prefix}log"]),
        helper.make_node("Exp", [f"{prefix}log"], [decay]),
        helper.make_node("Mul", [decay, state], [kept]),
        helper.make_node("Mul", [driven, b], [fresh]),
        helper.make_node("Add", [kept, fresh], [following]),
        helper.make_node("MatMul", [following, c], [y]),
    ]
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in (state, step, driven, b, c, following, y)
    }
    given = [values[name] for name in (state, step, driven, b, c)]
    return helper.make_graph(nodes, f"{prefix}token", given, [values[following], values[y]])
