"""Small models as other programs write them."""

import hashlib
import io
import json
import zipfile

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper


def onnx_graph(gain=8.0, bias=-4.0, outputs=1, axes="bcyx", operator="Conv", domain=""):
    """Return an ONNX file that maps each pixel to ``gain * pixel + bias``, with dynamic sizes."""
    order = ["bcyx".index(axis) for axis in axes]
    back = [axes.index(axis) for axis in "bcyx"]
    weight = np.full((outputs, 1, 1, 1), gain, np.float32)
    weight[1:] *= -1
    shape = ["b", 1 if axes[1] == "c" else "y", "y" if axes[1] == "c" else "x", "x"]
    nodes = [
        helper.make_node("Transpose", ["image"], ["i"], perm=back),
        helper.make_node(operator, ["i", "w", "c"], ["o"], domain=domain),
        helper.make_node("Transpose", ["o"], ["output"], perm=order),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [
            helper.make_tensor_value_info(
                "image", TensorProto.FLOAT, shape if axes == "bcyx" else None
            )
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.full(outputs, bias, np.float32), "c"),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


class Spots(torch.nn.Module):
    """The same in torch."""

    def forward(self, x):
        return 8 * x - 4


def torchscript(marker=None):
    """Return TorchScript that does the same, and writes a file at `marker` when it is run."""
    module = torch.jit.script(Spots())
    if marker:
        module = torch.jit.ScriptModule()
        module.define(
            f"""
            def forward(self, x):
                note = torch.from_file("{marker}", True, 1)
                note.fill_(0.0)
                return 8 * x - 4 + 0 * note.sum()
            """
        )
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


SOURCE = """
import pathlib
import torch

pathlib.Path({marker!r}).write_text("run")


class Net(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.gain * x + self.bias
"""


def state(bias=-4.0):
    """Return a PyTorch file with the weights of `SOURCE`'s network."""
    buffer = io.BytesIO()
    torch.save({"bias": torch.tensor(bias)}, buffer)
    return buffer.getvalue()


def package(path, files, weights, changes=None, input_changes=None, post=({"id": "sigmoid"},)):
    """Write a BioImage.IO package, whose description is JSON, which is YAML too.

    Parameters
    ----------
    path : Path
        The zip file.
    files : dict
        Content by name.
    weights : dict
        Entry ``weights`` of the description; the hashes are filled in.
    changes, input_changes : dict, optional
        Of the description and of its input.
    post : sequence of dict
        Steps after the graph.
    """

    def hashed(entry):
        if isinstance(entry, dict):
            entry = {key: hashed(value) for key, value in entry.items()}
            if entry.get("source") in files and "sha256" not in entry:
                entry["sha256"] = hashlib.sha256(files[entry["source"]]).hexdigest()
        return entry

    def tensor(name):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((1, 1, 64, 64), np.float32))
        files[f"{name}.npy"] = buffer.getvalue()
        return {"source": f"{name}.npy"}

    sides = [{"type": "space", "id": axis, "size": {"min": 32, "step": 16}} for axis in ("y", "x")]
    channel = {"type": "channel", "id": "channel", "channel_names": ["spot"]}
    scale = {"id": "scale_range", "kwargs": {"min_percentile": 1.0, "max_percentile": 99.0}}
    given = {
        "id": "raw",
        "axes": [{"type": "batch"}, channel, *sides],
        "test_tensor": tensor("in"),
        "preprocessing": [{**scale, "kwargs": {**scale["kwargs"], "axes": ["channel", "y", "x"]}}],
        **(input_changes or {}),
    }
    outer = [
        {"type": "space", "id": axis, "size": {"tensor_id": "raw", "axis_id": axis}}
        for axis in ("y", "x")
    ]
    made = {
        "id": "mask",
        "axes": [{"type": "batch"}, channel, *outer],
        "test_tensor": tensor("out"),
        "postprocessing": list(post),
    }
    description = {
        "format_version": "0.5.3",
        "type": "model",
        "name": "Spots of others",
        "description": "Finds bright spots.",
        "authors": [{"name": "Ada"}],
        "cite": [{"text": "Ada, 1843", "doi": "10.1234/spots"}],
        "license": "MIT",
        "documentation": {"source": "README.md"},
        "inputs": [given],
        "outputs": [made],
        "weights": weights,
        **(changes or {}),
    }
    files = {"README.md": b"# Spots\n", **files}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", json.dumps(hashed(description)))
        for name, content in files.items():
            archive.writestr(name, content)
    return path
