"""Export networks to graphs for OpenVINO, and check that graphs compute the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from . import graphs
from .graphs import TOLERANCE, difference

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints import CheckpointInfo

# Height and width of the exported example and of the checked ones, in divisors of the network.
EXPORTED, CHECKED = (5, 7), ((3, 4), (9, 5))


@dataclass(frozen=True)
class Part:
    """A part of a network that is a graph of its own.

    Attributes
    ----------
    module : Module
        Takes `inputs`, and returns a tuple of tensors.
    inputs : tuple of Tensor
        Examples, each ``(1, C, h, w)``.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]


class _Forward(nn.Module):
    """A network with its hooks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (self.network(pixels),)


class _Encode(_Forward):
    """One slice to its features."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode(pixels))


class _Decode(_Forward):
    """The features of all slices, one slice after the other, to logits."""

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        levels = len(maps) // self.network.context_slices
        slices = [maps[k : k + levels] for k in range(0, len(maps), levels)]
        return (self.network.decode(*slices, maps[0].shape[-2:]),)


def export(network: nn.Module, info: CheckpointInfo, folder: Path) -> None:
    """Write the graphs of a network's parts for images of any height and width.

    Parameters
    ----------
    network : Module
        On the CPU, in evaluation mode and folded.
    info : CheckpointInfo
        Card of its checkpoint.
    folder : Path
        Gets a file ``<name>.xml`` with its weights for each part.

    Raises
    ------
    ValueError
        If the graphs do not compute what the network computes.
    """
    import openvino

    from .scan_operation import extensions

    for name, part in parts(network, info, EXPORTED).items():
        with warnings.catch_warnings(), torch.no_grad():
            # Branches depend on whether the size has to be padded, which it never has.
            warnings.simplefilter("ignore")
            graph = openvino.convert_model(
                part.module, example_input=part.inputs, extension=extensions()
            )
        openvino.save_model(graph, folder / f"{name}.xml", compress_to_fp16=False)
    # Tracing may take a size for a constant, so others are tried.
    written = {file.stem: graphs.read(file) for file in folder.glob("*.xml")}
    for number, size in enumerate(CHECKED):
        tried = parts(network, info, size)
        checked = written
        if number:  # the last, so that both kinds of a graph are checked
            checked = graphs.of_one_size(written, tuple(next(iter(tried.values())).inputs[0].shape))
        for name, part in tried.items():
            request = graphs.compiled(checked[name], "exact", 1).create_infer_request()
            request.infer([each.numpy() for each in part.inputs])
            with torch.inference_mode():
                expected = part.module(*part.inputs)
            found = [request.get_output_tensor(k).data for k in range(len(expected))]
            _compare(found, expected)


def parts(network: nn.Module, info: CheckpointInfo, size: tuple[int, int]) -> dict[str, Part]:
    """Return the parts of a network that are exported, by name.

    A network that reads several slices has two, ``encode`` and ``decode``, so that each slice is
    encoded once; any other has one, ``forward``.

    Parameters
    ----------
    network : Module
        On the CPU, in evaluation mode.
    info : CheckpointInfo
        Card of its checkpoint.
    size : tuple of int
        Height and width of the example, in divisors of the network.
    """
    anything: Any = network
    shape = (1, info.in_channels, *(side * anything.divisor for side in size))
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if info.context_slices == 1:
        return {"forward": Part(_Forward(network).eval(), (pixels,))}
    with torch.no_grad():
        # A tensor of its own for each input, or the graph joins them.
        maps = [
            each.clone() for _ in range(info.context_slices) for each in anything.encode(pixels)
        ]
    return {
        "encode": Part(_Encode(network).eval(), (pixels,)),
        "decode": Part(_Decode(network).eval(), tuple(maps)),
    }


def _compare(found: Sequence[np.ndarray], expected: Sequence[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        error = difference(ours, theirs.numpy())
        if not error < TOLERANCE:
            raise ValueError(f"the graph's output differs from torch's by {error:.1e} of its range")
