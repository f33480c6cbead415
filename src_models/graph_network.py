"""A network that is an ONNX graph of somebody else: it segments, and cannot be trained.

The file is the network's only weight, so that it is stored, checked and sent like those of others.
A graph is data: ONNX has no operators that reach files, and nothing in it is run as Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Probabilities are kept this far from 0 and 1 before they become logits.
TINY = 1e-6


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
        Height and width, if the graph takes no others.
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
        self._session: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphNetwork:
        """Return a network with the same file, which is never changed."""
        copy = GraphNetwork.__new__(GraphNetwork)
        nn.Module.__init__(copy)
        copy.register_buffer("file", self.file)
        known = {k: v for k, v in self.__dict__.items() if k in _FACTS or k == "training"}
        copy.__dict__.update(known)
        copy._session = self._session
        return copy

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, outputs, H, W)``.

        Raises
        ------
        RuntimeError
            If it is exported.
        ValueError
            If the image is too large for the graph, or the graph returns no image of its size.
        """
        if torch._C._get_tracing_state() or torch.compiler.is_exporting():
            raise RuntimeError("a graph of ONNX is exported by copying its file")
        height, width = x.shape[-2:]
        padded = self._padded(x.detach().float().cpu())
        images = [self._infer(image[None]) for image in self._scaled(padded)]
        values = torch.cat(images)
        if values.ndim != 4 or values.shape[1] < self.outputs:
            raise ValueError(f"The graph returns {tuple(values.shape)}, which is no image.")
        if values.shape[-2:] != padded.shape[-2:]:
            raise ValueError(f"The graph returns another size: {tuple(values.shape[-2:])}.")
        values = values[:, : self.outputs, :height, :width].to(x.device)
        if self.probabilities:
            values = values.clamp(TINY, 1 - TINY)
            values = values.logit() if self.independent else values.log()
        return values - self.offset if self.outputs == 1 else values

    def _padded(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        fixed = self.fixed or (None, None)
        for length, whole in ((x.shape[3], fixed[1]), (x.shape[2], fixed[0])):
            wanted = whole or max(length + -length % self.divisor, self.smallest)
            if length > wanted:
                raise ValueError(
                    f"The graph takes images of {wanted} pixels a side, not of {length}. Choose "
                    f"tiles of {wanted} pixels."
                )
            pads += [0, wanted - length]
        mirrored = all(pad < side for pad, side in zip(pads[1::2], x.shape[:1:-1], strict=True))
        return F.pad(x, pads, mode="reflect" if mirrored else "replicate") if any(pads) else x

    def _scaled(self, x: Tensor) -> Tensor:
        if not self.standardised:
            return x
        axes = (2, 3) if self.each_channel else (1, 2, 3)
        deviation, mean = torch.std_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / (deviation + TINY)

    def _infer(self, image: Tensor) -> Tensor:
        """Return the graph's first output for an image, both ``(1, C, h, w)``."""
        session = self._loaded()
        own = [axis for axis in "bcyx" if axis in self.axes]
        image = image if "c" in self.axes else image[:, 0]
        order = [own.index(axis) for axis in self.axes]
        given = image.permute(order).contiguous().numpy()
        found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: given})[0])
        found = found.float().permute([self.axes.index(axis) for axis in own])
        return found if "c" in self.axes else found[:, None]

    def _loaded(self) -> Any:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            self._session = onnxruntime.InferenceSession(
                self.file.cpu().numpy().tobytes(), options, providers=["CPUExecutionProvider"]
            )
        return self._session


_FACTS = (
    "outputs",
    "divisor",
    "smallest",
    "fixed",
    "axes",
    "probabilities",
    "standardised",
    "each_channel",
    "independent",
    "offset",
)
