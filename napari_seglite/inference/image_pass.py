"""One pass of a network over the frames of an image, tile by tile, in the available memory."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, prepare_slices
from ..errors import DeviceError
from ..images import Box, ImageAxes, region_of
from ..runtime import devices, warm_up
from .predictor import Predictor
from .request import SMALLEST_TILE, SegmentRequest
from .rescaling import Resampling
from .slabs import Slab, plan_slabs
from .tiling import Band, count_bands, count_tiles, plan_axis, predict_bands

if TYPE_CHECKING:
    from torch import nn


# More bands than any frame has: the frame is finished.
ALL_BANDS = 1_000_000_000
# Share of the free memory that a tile may use.
MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Finished:
    """Finished probabilities of a box of a frame.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : Box
        The box in pixels of the frame.
    values : ndarray
        ``(K, rows, columns)`` float16.
    """

    frame: int
    box: Box
    values: np.ndarray


@dataclass(frozen=True)
class Progress:
    """Progress of a segmentation.

    Attributes
    ----------
    text : str
        Text for the status line.
    done, total : int
        Finished tiles and all tiles; `total` is 0 until it is known.
    frame, frames : int
        The current frame, counted from 1, and the number of frames.
    seconds_left : float or None
        Estimated time; None until it is known.
    pixels_per_second : float or None
        Speed in pixels of the image; None until it is known.
    finished : Finished or None
        Probabilities that this step has finished.
    """

    text: str
    done: int = 0
    total: int = 0
    frame: int = 0
    frames: int = 0
    seconds_left: float | None = None
    pixels_per_second: float | None = None
    finished: Finished | None = None


@dataclass
class ImagePass:
    """A pass of a network over an image.

    Where memory runs out, tiles are halved, then the pass moves to the CPU; the current frame
    starts again.

    Parameters
    ----------
    image : array
        With the request's axes.
    frames : tuple of int
        Numbers of the frames to segment.
    info : CheckpointInfo
        Card of the checkpoint.
    network : Module
        On the request's device, in evaluation mode.
    request : SegmentRequest
        Replaced if another device or another tile size has to be used.
    limits : tuple of float
        Intensities that become 0 and 1; equal if the image is constant.
    notices : list of str
        Messages for the user.
    bands : list of int
        Number of finished bands of each frame; updated during the pass.

    Attributes
    ----------
    box : Box
        Box around the requested region, the same in every frame.
    resampling : Resampling
        Of the box that the network sees: `box` and half a tile's overlap around it.
    """

    image: Any
    frames: tuple[int, ...]
    info: CheckpointInfo
    network: nn.Module
    request: SegmentRequest
    limits: tuple[float, float]
    notices: list[str] = field(default_factory=list)
    bands: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        axes = ImageAxes(self.request.axes)
        self._frame_shape = axes.frame_shape(self.image.shape)
        self.box = region_of(self.request.region, self._frame_shape).box(self._frame_shape)
        self.resampling = self._new_resampling()
        self.bands = self.bands or [0] * len(self.frames)
        self._done, self._before, self._started = 0, 0, 0.0
        self._slabs = plan_slabs(axes, self.image.shape, self.frames, self.info)
        self._fit_memory()
        self._predictor = self._new_predictor()

    # ------------------------------------------------------------------ the pass
    def run(self) -> Generator[tuple[Progress, int, Band | None]]:
        """Run the network, tile by tile.

        Yields
        ------
        Progress
            Progress after a tile.
        int
            Position of the frame in `frames`.
        Band or None
            Rows of `box` that the tile has finished, ``(K, rows, w)``.

        Raises
        ------
        DeviceError
            If the smallest tiles do not fit into the CPU's memory.
        """
        self._started = time.monotonic()
        self._before = self._tiles_done()
        for slab in self._slabs:
            finished = False
            while not finished:
                self._done = self._tiles_done()
                try:
                    yield from self._run_slab(slab)
                    finished = True
                except RuntimeError as error:
                    if not devices.out_of_memory(error):
                        raise
                    self.back_off(error)
                    self._mark(slab, 0)
            self._mark(slab, ALL_BANDS)

    def resume(self, bands: Sequence[int]) -> None:
        """Continue after so many finished bands of each frame.

        A rescaled frame that is not finished starts again.
        """
        whole = self._bands_per_slab
        self.bands = [n if n >= whole or self.resampling.is_identity else 0 for n in bands]

    def rows_done(self) -> tuple[int, ...]:
        """Return how many rows of `box` are finished in each frame."""
        request, height = self.request, self.box.shape[0]
        starts = plan_axis(self.resampling.shape[0], request.tile, request.overlap).starts
        halo = self.box.top - self.resampling.box.top
        ends = [0, *(self.resampling.finished(top) - halo for top in starts[1:])]
        return tuple(
            height if bands >= len(starts) else min(max(ends[bands], 0), height)
            for bands in self.bands
        )

    def finished(self, position: int, band: Band, values: np.ndarray) -> Finished:
        """Return a finished band with its place in the image.

        Parameters
        ----------
        position : int
            Position of the frame in `frames`.
        band : Band
            Its rows are counted from the top of `box`.
        values : ndarray
            ``(K, rows, w)`` float16.
        """
        top, bottom = self.box.top + band.rows.start, self.box.top + band.rows.stop
        return Finished(self.frames[position], self.box._replace(top=top, bottom=bottom), values)

    # ------------------------------------------------------------------ one slab
    def _run_slab(self, slab: Slab) -> Generator[tuple[Progress, int, Band | None]]:
        first = self.bands[slab.positions[0]]
        if first >= self._bands_per_slab:
            return
        if self.limits[0] >= self.limits[1]:  # a constant image: the network has nothing to see
            self._done += self._tiles_per_slab
            yield self._progress(slab), slab.positions[0], None
            return
        request, resampling = self.request, self.resampling
        self._predictor.at(() if self.info.volumetric else slab.read)
        bands = predict_bands(
            self._predict,
            resampling.read(lambda box: self._read(slab, box)),
            resampling.shape,
            request.tile,
            request.overlap,
            first,
        )
        for band in resampling.back(self._counted(slab, bands)):
            if band is None:
                yield self._progress(slab), slab.positions[0], None
                continue
            slices = len(slab.read) if self.info.volumetric else 1
            values = band.values.reshape(-1, slices, *band.values.shape[1:])
            for position, offset in zip(slab.positions, slab.offsets, strict=True):
                inner = self._inner(Band(band.rows, values[:, offset]))
                yield self._progress(slab), position, inner

    def _read(self, slab: Slab, box: Box) -> np.ndarray:
        """Return the network's input in a box of the frame, ``(C, [Z,] h, w)`` float32."""
        info, axes = self.info, ImageAxes(self.request.axes)

        def read_slices(frame: int) -> np.ndarray:
            channels = self.request.channels
            return prepare_slices(self.image, axes, frame, info, self.limits, channels, box)

        if info.volumetric:
            return np.stack([read_slices(frame) for frame in slab.read], axis=1)
        return read_slices(self.frames[slab.positions[0]])

    def _predict(self, tile: np.ndarray, number: int) -> np.ndarray:
        """Return planes ``(K, h, w)``; those of a volume one after the other."""
        probabilities = self._predictor(tile, number)
        return probabilities.reshape(-1, *probabilities.shape[-2:])

    def _counted(self, slab: Slab, bands: Iterator[Band | None]) -> Iterator[Band | None]:
        """Pass bands on, count the tiles, and mark each band once it was used."""
        for band in bands:
            self._done += 1
            yield band
            if band is not None:
                self._mark(slab, self.bands[slab.positions[0]] + 1)

    def _mark(self, slab: Slab, bands: int) -> None:
        for position in slab.positions:
            self.bands[position] = bands

    def _inner(self, band: Band) -> Band | None:
        """Crop a band of the rows that the network sees to `box`; None if they lie outside."""
        rows, columns = self.box.within(self.resampling.box).slices
        begin, end = max(band.rows.start, rows.start), min(band.rows.stop, rows.stop)
        if begin >= end:
            return None
        inside = slice(begin - band.rows.start, end - band.rows.start)
        return Band(slice(begin - rows.start, end - rows.start), band.values[:, inside, columns])

    # ------------------------------------------------------------------ memory
    def _fit_memory(self) -> None:
        """Choose tiles that fit into the free memory."""
        request = self.request
        free = devices.free_memory(request.device)
        if free is None or not self._slabs:
            return
        slices = len(self._slabs[0].read) if self.info.volumetric else 1
        pixel = src_models.card(self.info.network).memory * slices
        tile = request.tile
        while pixel * math.prod(min(tile, n) for n in self.resampling.shape) > MEMORY_SHARE * free:
            if tile // 2 < SMALLEST_TILE:
                break
            tile //= 2
        if tile < request.tile:
            self._use_tiles(tile)
            self.notices.append(
                f"Tiles of {tile} pixels were used, because {request.device} has "
                f"{free / 1e9:.1f} GB of free memory."
            )

    def back_off(self, error: Exception) -> None:
        """Use smaller tiles or, once they are the smallest, the CPU.

        Parameters
        ----------
        error : Exception
            The error that reported too little memory.

        Raises
        ------
        DeviceError
            If neither is left.
        """
        request = self.request
        devices.release(request.device)
        if request.tile // 2 >= SMALLEST_TILE:
            tile = request.tile // 2
            self._use_tiles(tile)
            text = f"Memory ran out, so tiles of {tile} pixels were used."
        elif request.device != "cpu":
            devices.place(self.network, "cpu")
            warm_up(self.info.network, "cpu")
            self.request = replace(request, device="cpu")
            text = f"The memory of {request.device} ran out, so the CPU was used."
        else:
            raise DeviceError(
                "The memory does not suffice for the smallest tiles. Close other programs, or "
                "choose a smaller network."
            ) from error
        self.notices.append(text)
        self._predictor = self._new_predictor()

    def _use_tiles(self, tile: int) -> None:
        overlap = min(self.request.overlap, tile // 4)
        self.request = replace(self.request, tile=tile, overlap=overlap)
        self.resampling = self._new_resampling()

    def _new_resampling(self) -> Resampling:
        request, shape = self.request, self._frame_shape
        halo = math.ceil(request.overlap / 2 / request.rescale)
        return Resampling(shape, self.box.grown(halo, shape), request.rescale)

    def _new_predictor(self) -> Predictor:
        return Predictor(self.network, self.request.device, self.request.ensemble)

    # ------------------------------------------------------------------ progress
    @property
    def _bands_per_slab(self) -> int:
        return count_bands(self.resampling.shape[0], self.request.tile, self.request.overlap)

    @property
    def _tiles_per_slab(self) -> int:
        return count_tiles(*self.resampling.shape, self.request.tile, self.request.overlap)

    def _tiles_done(self) -> int:
        tiles_per_band = self._tiles_per_slab // self._bands_per_slab
        bands = (min(self.bands[s.positions[0]], self._bands_per_slab) for s in self._slabs)
        return sum(bands) * tiles_per_band

    def _progress(self, slab: Slab) -> Progress:
        total = self._tiles_per_slab * len(self._slabs)
        elapsed = time.monotonic() - self._started
        speed = (self._done - self._before) / elapsed if elapsed > 0 else 0.0
        left = (total - self._done) / speed if speed > 0 else None
        frame = slab.positions[-1] + 1
        text = f"Tile {self._done} of {total}"
        if len(self.frames) > 1:
            text = f"Slice {frame} of {len(self.frames)}, {text.lower()}"
        pixels = math.prod(self.box.shape) * len(self.frames)
        rate = speed * pixels / total if speed > 0 else None
        return Progress(text, self._done, total, frame, len(self.frames), left, rate)
