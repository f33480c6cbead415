"""What computes a network: torch, or OpenVINO on a CPU.

A job is computed by one runtime from its first tile to its last, and its recipe names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from ..errors import Cancelled
from ..runtime import Stop, interruptible, never

if TYPE_CHECKING:
    from torch import Tensor, nn

RuntimeName = Literal["auto", "torch", "openvino"]
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
Precision = Literal["exact", "fast"]
PrecisionChoice = Literal["auto", "exact", "fast"]
PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
# Milliseconds after which a computation asks whether it should stop.
_PATIENCE = 20


class Runtime(Protocol):
    """What computes the logits of a tile.

    Attributes
    ----------
    name : str
        ``"torch"`` or ``"openvino"``.
    precision : str
        ``"exact"``: float32. ``"fast"``: bfloat16.
    """

    name: RuntimeName
    precision: Precision

    def forward(self, pixels: Tensor) -> Tensor:
        """Map ``(1, C, h, w)`` to logits ``(1, K, h, w)``; volumes and slices if it can."""

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Return the features of a slice, for networks that read several."""

    def decode(self, slices: Sequence[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """Return the logits ``(1, K, *size)`` of the centre of slices with known features."""

    def interruptible(self, stop: Stop) -> AbstractContextManager[None]:
        """Raise `Cancelled` while it computes, soon after `stop` returns True."""

    def release(self) -> None:
        """Give memory back that only the next job needs again."""


class TorchRuntime:
    """A network as torch runs it, on any device.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    """

    name: RuntimeName = "torch"
    precision: Precision = "exact"

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = network

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Runtime`."""
        logits: Tensor = self.network(pixels)
        return logits

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """See `Runtime`."""
        maps: list[Tensor] = self.network.encode(pixels)
        return maps

    def decode(self, slices: Sequence[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """See `Runtime`."""
        logits: Tensor = self.network.decode(*slices, size)
        return logits

    def interruptible(self, stop: Stop) -> AbstractContextManager[None]:
        """See `Runtime`."""
        return interruptible(self.network, stop)

    def release(self) -> None:
        """See `Runtime`; torch gives memory back by itself."""


class OpenVinoRuntime(TorchRuntime):
    """A network as OpenVINO runs it on the CPU.

    Images of a side below twice the divisor of the network are left to torch: graphs are for
    larger ones.

    Parameters
    ----------
    network : Module
        The same network for torch.
    graphs : dict
        Compiled parts of the network, see `exporting.parts`.
    precision : str
        For which they were compiled.
    """

    name: RuntimeName = "openvino"

    def __init__(self, network: nn.Module, graphs: dict[str, Any], precision: Precision) -> None:
        super().__init__(network)
        self.precision = precision
        self._graphs, self._stop = graphs, never
        self._requests: dict[str, Any] = {}

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Runtime`."""
        from src_models.pixel_features import added

        size = (pixels.shape[-2], pixels.shape[-1])
        if pixels.ndim != 4 or self._small(size):
            return super().forward(pixels)
        if "forward" in self._graphs:
            (logits,) = self._run("forward", [self._padded(pixels)])
            return logits[..., : size[0], : size[1]]
        maps = self.encode(pixels)
        logits = self.decode([maps] * self.network.context_slices, size)
        joined: Tensor = added(self.network, logits, pixels)
        return joined

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """See `Runtime`."""
        if self._small(pixels.shape[-2:]):
            return super().encode(pixels)
        return self._run("encode", [self._padded(pixels)])

    def decode(self, slices: Sequence[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """See `Runtime`."""
        if self._small(size):
            return super().decode(slices, size)
        (logits,) = self._run("decode", [each for maps in slices for each in maps])
        return logits[..., : size[0], : size[1]]

    @contextmanager
    def interruptible(self, stop: Stop) -> Iterator[None]:
        """See `Runtime`."""
        self._stop = stop
        try:
            with super().interruptible(stop):
                yield
        finally:
            self._stop = never

    def release(self) -> None:
        """See `Runtime`."""
        self._requests.clear()
        for graph in self._graphs.values():
            graph.release_memory()

    def _small(self, size: Sequence[int]) -> bool:
        return bool(min(size) <= self.network.divisor)

    def _padded(self, pixels: Tensor) -> Tensor:
        from src_models.layers import pad_to_multiple

        return pad_to_multiple(pixels, (self.network.divisor,) * 2)

    def _run(self, part: str, inputs: list[Tensor]) -> list[Tensor]:
        """Return the outputs of a part; raise `Cancelled` if the job is stopped meanwhile."""
        import torch

        if self._stop():
            raise Cancelled
        request = self._requests.get(part) or self._graphs[part].create_infer_request()
        self._requests[part] = request
        request.start_async([np.ascontiguousarray(each.numpy()) for each in inputs])
        while not request.wait_for(_PATIENCE):
            if self._stop():
                request.cancel()
                with suppress(RuntimeError):  # that it was cancelled
                    request.wait()
                raise Cancelled
        count = len(self._graphs[part].outputs)
        return [torch.from_numpy(request.get_output_tensor(k).data.copy()) for k in range(count)]
