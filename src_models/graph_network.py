"""A network that is an ONNX graph of somebody else.

The file is one of the network's weights, so that it is stored, checked and sent like those of
others. A graph is data: ONNX has no operators that reach files, and nothing in it is run as Python.

A graph that holds its weights itself only segments, in ONNX Runtime. One that learns has them
beside it: torch computes it in training and on a GPU, see `onnx_module`, and ONNX Runtime, which is
faster, once it is folded for inference on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .onnx_module import OnnxModule, Program, with_weights

# Share of a tile by which it overlaps the next one, where a graph takes only tiles of one size.
OVERLAP = 0.25
# Probabilities are kept this far from 0 and 1 before they become logits.
TINY = 1e-6


class _Span(NamedTuple):
    """A part of an axis: what a tile covers of the image, and what is kept of the tile."""

    taken: slice
    kept: slice


def _spans(length: int, whole: int) -> list[_Span]:
    """Return where tiles lie along an axis; of two that overlap, each keeps its half."""
    if length <= whole:
        return [_Span(slice(0, length), slice(0, length))]
    count = 1 + math.ceil((length - whole) / (whole * (1 - OVERLAP)))
    begins = [round(k * (length - whole) / (count - 1)) for k in range(count)]
    cuts = [0, *((first + whole + second) // 2 for first, second in pairwise(begins)), length]
    return [
        _Span(slice(begin, begin + whole), slice(low - begin, high - begin))
        for begin, (low, high) in zip(begins, pairwise(cuts), strict=True)
    ]


class GraphNetwork(nn.Module):
    """An ONNX graph as a network.

    Parameters
    ----------
    in_channels, outputs : int
        Channels of the image and of the logits.
    size : int
        Bytes of the file.
    divisor, smallest : int
        Height and width of what the graph takes are multiples of `divisor` from `smallest` on.
        Other images are mirrored at their borders until they fit.
    fixed : sequence of int or None
        Height and width, if the graph takes no others. Larger images are cut into such tiles, which
        overlap by a quarter.
    axes : str
        Of the graph's input and output: ``b``, ``c``, ``y`` and ``x`` in its order.
    probabilities : bool
        Whether it returns probabilities and not logits.
    standardised : bool
        Whether it takes images of mean 0 and standard deviation 1, each channel by itself if
        `each_channel`; computed of a tile, however the image was scaled before.
    independent : bool
        Whether its probabilities do not sum to 1 over the channels.
    threshold : float
        The probability from which on a pixel is foreground, which becomes 0.5.
    weights, statistics : sequence of sequence of int
        Shapes of the weights that lie beside the graph, see `onnx_module.OnnxModule`; without any
        it does not learn.
    together : bool
        Whether it takes several images at once.
    first, last, obstacle
        For `graph_options`: the weight of the first layer, those of the last one, and why it does
        not learn.

    Raises
    ------
    ValueError
        If a number is out of its range, or the axes are others.
    """

    file: Tensor

    def __init__(
        self,
        in_channels: int = 1,
        outputs: int = 1,
        size: int = 0,
        divisor: int = 1,
        smallest: int = 1,
        fixed: Sequence[int] | None = None,
        axes: str = "bcyx",
        probabilities: bool = False,
        standardised: bool = False,
        each_channel: bool = False,
        independent: bool = False,
        threshold: float = 0.5,
        weights: Sequence[Sequence[int]] = (),
        statistics: Sequence[Sequence[int]] = (),
        together: bool = False,
        first: int | None = None,
        last: Sequence[int] = (),
        obstacle: str = "",
    ) -> None:
        super().__init__()
        if size < 1 or divisor < 1 or smallest < 1 or not 0 < threshold < 1:
            raise ValueError("a number of this graph is out of its range")
        if sorted(axes) not in (sorted("bcyx"), sorted("byx")):
            raise ValueError(f"a graph has the axes b, c, y and x, not {axes}")
        self.register_buffer("file", torch.zeros(size, dtype=torch.uint8))
        self.outputs, self.divisor, self.smallest = outputs, divisor, smallest
        self.fixed, self.axes = fixed, axes
        self.probabilities, self.standardised = probabilities, standardised
        self.each_channel = each_channel
        self.independent = independent or outputs == 1
        # Of the logit that becomes 0.
        self.offset = float(torch.logit(torch.tensor(threshold)))
        self.module = OnnxModule(weights, statistics) if weights else None
        self.together = together
        self._folded = False
        self._session: Any = None
        self._program: Program | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphNetwork:
        """Return a network with the same file, which is never changed."""
        memo |= {id(same): same for same in (self.file, self._session, self._program)}
        copy = GraphNetwork.__new__(GraphNetwork)
        memo[id(self)] = copy
        copy.__dict__.update(deepcopy(self.__dict__, memo))
        return copy

    def reorder(self) -> None:
        """Be computed by ONNX Runtime on a CPU, with the present weights; see `folding.fold`."""
        self._folded = True

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, outputs, H, W)``.

        Raises
        ------
        RuntimeError
            If it is exported.
        ValueError
            If the graph returns no image of its size.
        """
        if torch._C._get_tracing_state() or torch.compiler.is_exporting():
            raise RuntimeError("a graph of ONNX is exported by copying its file")
        sides = self.fixed or x.shape[-2:]
        rows, columns = map(_spans, x.shape[-2:], sides)
        strips = []
        for row in rows:
            strip = x[..., row.taken, :]
            tiles = [self._logits(strip[..., each.taken], row.kept, each.kept) for each in columns]
            strips.append(torch.cat(tiles, 3))
        return torch.cat(strips, 2)

    def _logits(self, x: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return the logits of rows and columns of a tile."""
        height, width = x.shape[-2:]
        padded = self._padded(x.float())
        values = self._computed(self._scaled(padded))
        if values.ndim != 4 or values.shape[1] < self.outputs:
            raise ValueError(f"The graph returns {tuple(values.shape)}, which is no image.")
        if values.shape[-2:] != padded.shape[-2:]:
            raise ValueError(f"The graph returns another size: {tuple(values.shape[-2:])}.")
        values = values[:, : self.outputs, :height, :width]
        if self.probabilities:
            values = values.clamp(TINY, 1 - TINY)
            values = values.logit() if self.independent else values.log()
        return (values - self.offset if self.outputs == 1 else values)[..., rows, columns]

    def _padded(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        fixed = self.fixed or (None, None)
        for length, whole in ((x.shape[3], fixed[1]), (x.shape[2], fixed[0])):
            wanted = whole or max(length + -length % self.divisor, self.smallest)
            pads += [0, wanted - length]
        mirrored = all(pad < side for pad, side in zip(pads[1::2], x.shape[:1:-1], strict=True))
        return F.pad(x, pads, mode="reflect" if mirrored else "replicate") if any(pads) else x

    def _scaled(self, x: Tensor) -> Tensor:
        if not self.standardised:
            return x
        axes = (2, 3) if self.each_channel else (1, 2, 3)
        deviation, mean = torch.std_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / (deviation + TINY)

    def _computed(self, x: Tensor) -> Tensor:
        """Return the graph's first output for images, both ``(B, C, h, w)``."""
        own = [axis for axis in "bcyx" if axis in self.axes]
        images = x if "c" in self.axes else x[:, 0]
        images = images.permute([own.index(axis) for axis in self.axes])
        batch = self.axes.index("b")
        learns = self.module is not None and not (self._folded and x.device.type == "cpu")
        run = self._by_torch if learns else self._by_runtime
        if self.together and learns:
            found = run(images)
        else:
            found = torch.cat([run(image) for image in images.split(1, batch)], batch)
        found = found.float().permute([self.axes.index(axis) for axis in own])
        return found if "c" in self.axes else found[:, None]

    def _by_torch(self, images: Tensor) -> Tensor:
        assert self.module is not None
        if self._program is None:
            self._program = Program.read(self._model())
        found: Tensor = self.module(images, self._program)
        return found

    def _by_runtime(self, image: Tensor) -> Tensor:
        if self._session is None:
            self._session = self._loaded()
        given = {self._session.get_inputs()[0].name: image.detach().cpu().contiguous().numpy()}
        return torch.from_numpy(self._session.run(None, given)[0]).to(image.device)

    def _loaded(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        return onnxruntime.InferenceSession(
            self.whole_file(), options, providers=["CPUExecutionProvider"]
        )

    def whole_file(self) -> bytes:
        """Return the content of an ONNX file with the graph and its present weights."""
        if self.module is None:
            return self.file.cpu().numpy().tobytes()
        whole: bytes = with_weights(self._model(), self.module.tensors).SerializeToString()
        return whole

    def _model(self) -> Any:
        import onnx

        return onnx.load_from_string(self.file.cpu().numpy().tobytes())
