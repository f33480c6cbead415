"""What computes a network: torch, or OpenVINO on a CPU.

A job is computed by one runtime from its first tile to its last, and its recipe names it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from ..errors import Cancelled
from ..runtime import Stop, graphs, interruptible, never, wait_for

if TYPE_CHECKING:
    from torch import Tensor, nn

RuntimeName = Literal["auto", "torch", "openvino"]
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
Precision = Literal["exact", "fast"]
PrecisionChoice = Literal["auto", "exact", "fast"]
PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
# Milliseconds after which a computation asks whether it should stop.
_PATIENCE = 20
# Tiles of an image from which on compiling a graph for their size takes less time than it saves.
FIXED_FROM = 6
# Most tiles that are computed side by side.
MOST_STREAMS = 4


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

    def prepare(self, shape: tuple[int, ...], of_frame: int, of_image: int, most: int) -> int:
        """Get ready for the tiles of a pass, and return how many are to be computed side by side.

        Parameters
        ----------
        shape : tuple of int
            ``(C, h, w)`` of every tile.
        of_frame, of_image : int
            Number of tiles of a frame, and of all frames of the image. The result of a tile
            depends on `of_image`, so this counts tiles that the pass leaves out, too.
        most : int
            Most tiles for which there is memory.

        Raises
        ------
        Cancelled
            If the pass was stopped.
        """

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

    def prepare(self, shape: tuple[int, ...], of_frame: int, of_image: int, most: int) -> int:
        """See `Runtime`; torch computes one tile with all threads."""
        return 1

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

    The tiles of a large image are computed by graphs for their size, several side by side. Smaller
    images are left to graphs for any size, because every size has to be compiled, and images of a
    side below twice the divisor of the network to torch. What computes a tile depends on the sizes
    of the tile and the image alone, so that every job gives the same numbers.

    Parameters
    ----------
    network : Module
        The same network for torch.
    parts : dict
        Graphs of the network's parts for any size, see `exporting.parts`.
    precision : str
        For which they are compiled.
    threads : int
        As many are used.
    """

    name: RuntimeName = "openvino"

    def __init__(
        self, network: nn.Module, parts: dict[str, Any], precision: Precision, threads: int
    ) -> None:
        super().__init__(network)
        self.precision, self._threads = precision, threads
        self._parts, self._stop = parts, never
        self._compiled = _Compiled()  # the last one; each needs some tens of megabytes
        self._size: tuple[int, int] | None = None  # for which it is prepared

    def prepare(self, shape: tuple[int, ...], of_frame: int, of_image: int, most: int) -> int:
        """See `Runtime`."""
        size = (shape[-2], shape[-1])
        self._size = None
        if of_image < FIXED_FROM or self._small(size):
            return 1
        divisor = self.network.divisor
        padded = (1, shape[0], *(-(-side // divisor) * divisor for side in size))
        streams = max(min(self._threads, MOST_STREAMS, of_frame, most), 1)
        if (self._compiled.shape, self._compiled.streams) != (padded, streams):
            self._compile(padded, streams)
        self._size = size
        return streams

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Runtime`."""
        from src_models.pixel_features import added

        size = (pixels.shape[-2], pixels.shape[-1])
        if pixels.ndim != 4 or self._small(size):
            return super().forward(pixels)
        if "forward" in self._parts:
            (logits,) = self._run("forward", size, [self._padded(pixels)])
            return logits[..., : size[0], : size[1]]
        maps = self.encode(pixels)
        logits = self.decode([maps] * self.network.context_slices, size)
        joined: Tensor = added(self.network, logits, pixels)
        return joined

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """See `Runtime`."""
        size = (pixels.shape[-2], pixels.shape[-1])
        if self._small(size):
            return super().encode(pixels)
        return self._run("encode", size, [self._padded(pixels)])

    def decode(self, slices: Sequence[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """See `Runtime`."""
        if self._small(size):
            return super().decode(slices, size)
        (logits,) = self._run("decode", size, [each for maps in slices for each in maps])
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
        self._compiled.release()

    def _small(self, size: Sequence[int]) -> bool:
        return bool(min(size) <= self.network.divisor)

    def _padded(self, pixels: Tensor) -> Tensor:
        from src_models.layers import pad_to_multiple

        return pad_to_multiple(pixels, (self.network.divisor,) * 2)

    def _compile(self, shape: tuple[int, ...] = (), streams: int = 1) -> None:
        """Compile all parts, for one shape of the image if it is given."""

        def work() -> _Compiled:
            parts = graphs.of_one_size(self._parts, shape) if shape else self._parts
            how = self.precision, self._threads, streams
            found = {name: graphs.compiled(part, *how) for name, part in parts.items()}
            return _Compiled(found, shape, streams)

        self._compiled = _Compiled()
        self._compiled = wait_for(work, self._stop)

    def _run(self, part: str, size: tuple[int, int], inputs: list[Tensor]) -> list[Tensor]:
        """Return the outputs of a part; raise `Cancelled` if the job is stopped meanwhile.

        Several threads may call it if graphs for the size are prepared.
        """
        import torch

        if self._stop():
            raise Cancelled
        if size != self._size and (self._compiled.shape or not self._compiled.parts):
            self._compile()
        with self._compiled.request(part) as request:
            request.start_async([np.ascontiguousarray(each.numpy()) for each in inputs])
            while not request.wait_for(_PATIENCE):
                if self._stop():
                    request.cancel()
                    with suppress(RuntimeError):  # that it was cancelled
                        request.wait()
                    raise Cancelled
            count = len(self._compiled.parts[part].outputs)
            outputs = [request.get_output_tensor(k).data.copy() for k in range(count)]
        return [torch.from_numpy(each) for each in outputs]


@dataclass
class _Compiled:
    """The compiled parts of a network, and requests of them that nobody uses at the moment."""

    parts: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    streams: int = 1
    _free: dict[str, deque[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.release()

    @contextmanager
    def request(self, part: str) -> Iterator[Any]:
        """Lend an infer request of a part, in any thread."""
        try:
            request = self._free[part].pop()
        except IndexError:
            request = self.parts[part].create_infer_request()
        try:
            yield request
        finally:
            self._free[part].append(request)

    def release(self) -> None:
        """Give back what only a running job needs."""
        self._free = {name: deque() for name in self.parts}
        for part in self.parts.values():
            part.release_memory()
