"""One pass of a network over the frames of an image, tile by tile, with what memory there is."""

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


# More bands than any frame has.
WHOLE = 1_000_000_000
# Share of the free memory that a tile may take.
MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Finished:
    """Probabilities of a box of a frame.

    Attributes
    ----------
    frame : int
        Which one.
    box : Box
        Its rows and columns.
    values : ndarray
        ``(K, rows, columns)`` float16.
    """

    frame: int
    box: Box
    values: np.ndarray


@dataclass(frozen=True)
class Progress:
    """How far a segmentation is.

    Attributes
    ----------
    text : str
        For the status line.
    done, total : int
        Tiles; total 0 where it is not known yet.
    frame, frames : int
        The frame in work and how many there are, counted from 1.
    seconds_left : float or None
        Once it can be told.
    pixels_per_second : float or None
        Of the image, once it can be told.
    finished : Finished or None
        What became known with this step.
    """

    text: str
    done: int = 0
    total: int = 0
    frame: int = 0
    frames: int = 0
    seconds_left: float | None = None
    pixels_per_second: float | None = None
    finished: Finished | None = None


@dataclass(frozen=True)
class Window:
    """The box of every frame that was asked for, and what the network sees around it."""

    box: Box
    seen: Box
    grid: Resampling

    @classmethod
    def of(cls, image: Any, request: SegmentRequest) -> Window:
        """Return what a request asks of an image."""
        shape = ImageAxes(request.axes).frame_shape(image.shape)
        box = region_of(request.region, shape).box(shape)
        seen = box.grown(math.ceil(request.overlap / 2 / request.rescale), shape)
        return cls(box, seen, Resampling(shape, seen, request.rescale))

    @property
    def inner_shape(self) -> tuple[int, int]:
        """Height and width of what was asked for."""
        return self.box.shape

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the network sees, in its pixels."""
        return self.grid.shape

    def inner(self, band: Band | None) -> Band | None:
        """Return the part of a band that lies in the box, its rows counted from there."""
        if band is None:
            return None
        rows, columns = self.box.within(self.seen).slices
        begin, end = max(band.rows.start, rows.start), min(band.rows.stop, rows.stop)
        if begin >= end:
            return None
        kept = slice(begin - band.rows.start, end - band.rows.start)
        place = slice(begin - rows.start, end - rows.start)
        return Band(place, band.values[:, kept, columns])


@dataclass
class ImagePass:
    """A network on its way over an image.

    Where memory runs out, tiles are halved, then the CPU takes over; the frame begins anew.

    Attributes
    ----------
    image : array
        With the request's axes.
    frames : tuple of int
        Which ones.
    info : CheckpointInfo
        Of the checkpoint.
    network : Module
        On the request's device, in evaluation mode.
    request : SegmentRequest
        In the end, with the device and the tiles that were used.
    limits : tuple of float
        Intensities that become 0 and 1; equal if there is nothing to see.
    notices : list of str
        What the user should know.
    bands : list of int
        How many bands of each frame are finished, when it begins and from then on.
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
        self.area = Window.of(self.image, self.request)
        self.bands = self.bands or [0] * len(self.frames)
        self._done, self._started = 0, 0.0
        axes = ImageAxes(self.request.axes)
        self._units = plan_slabs(axes, self.image.shape, self.frames, self.info)
        self._fit()
        self._predictor = self._new_predictor()

    def _fit(self) -> None:
        """Choose tiles that fit into the free memory."""
        request = self.request
        free = devices.free_memory(request.device)
        if free is None or not self._units:
            return
        slices = len(self._units[0].read) if self.info.volumetric else 1
        pixel = src_models.card(self.info.network).memory * slices
        tile = request.tile
        while pixel * math.prod(min(tile, n) for n in self.area.shape) > MEMORY_SHARE * free:
            if tile // 2 < SMALLEST_TILE:
                break
            tile //= 2
        if tile < request.tile:
            self._use_tiles(tile)
            self.notices.append(
                f"Tiles of {tile} pixels were used, because {request.device} has "
                f"{free / 1e9:.1f} GB of free memory."
            )

    def _use_tiles(self, tile: int) -> None:
        overlap = min(self.request.overlap, tile // 4)
        self.request = replace(self.request, tile=tile, overlap=overlap)
        self.area = Window.of(self.image, self.request)

    def _new_predictor(self) -> Predictor:
        return Predictor(self.network, self.request.device, self.request.ensemble)

    def resume(self, bands: Sequence[int]) -> None:
        """Begin after so many bands of each frame; a rescaled frame that is not whole anew."""
        whole = self._bands_per_unit
        self.bands = [n if n >= whole or self.area.grid.same else 0 for n in bands]

    def run(self) -> Generator[tuple[Progress, int, Band | None]]:
        """Yield progress, the frame's position, and rows of `area.box` that are finished.

        Raises
        ------
        DeviceError
            If the smallest tiles do not fit into the CPU's memory.
        """
        self._started = time.monotonic()
        self._before = self._tiles_done()
        units = iter(self._units)
        unit = next(units, None)
        while unit is not None:
            self._done = self._tiles_done()
            try:
                yield from self._run_unit(unit)
            except RuntimeError as error:
                if not devices.out_of_memory(error):
                    raise
                self.back_off(error)
                self._mark(unit, 0)
                continue
            self._mark(unit, WHOLE)
            unit = next(units, None)

    def _mark(self, unit: Slab, bands: int) -> None:
        for position in unit.positions:
            self.bands[position] = bands

    def rows_done(self) -> tuple[int, ...]:
        """Return how many rows of each frame's box are finished."""
        request, rows = self.request, self.area.box.rows
        starts = plan_axis(self.area.shape[0], request.tile, request.overlap).starts
        above = rows.start - self.area.seen.top
        ends = [0, *(self.area.grid.finished(top) - above for top in starts[1:])]
        height = rows.stop - rows.start
        return tuple(
            height if bands >= len(starts) else min(max(ends[bands], 0), height)
            for bands in self.bands
        )

    def finished(self, position: int, band: Band, values: np.ndarray) -> Finished:
        """Say where in the image a band lies, whose rows are counted from the box."""
        box = self.area.box
        top, bottom = box.top + band.rows.start, box.top + band.rows.stop
        return Finished(self.frames[position], box._replace(top=top, bottom=bottom), values)

    def _tiles_done(self) -> int:
        per_band = self._per_unit // self._bands_per_unit
        done = (min(self.bands[unit.positions[0]], self._bands_per_unit) for unit in self._units)
        return sum(done) * per_band

    @property
    def _bands_per_unit(self) -> int:
        return count_bands(self.area.shape[0], self.request.tile, self.request.overlap)

    @property
    def _per_unit(self) -> int:
        return count_tiles(*self.area.shape, self.request.tile, self.request.overlap)

    def _run_unit(self, unit: Slab) -> Generator[tuple[Progress, int, Band | None]]:
        first = self.bands[unit.positions[0]]
        if first >= self._bands_per_unit:
            return
        if self.limits[0] >= self.limits[1]:  # whatever the network would make of it
            self._done += self._per_unit
            yield self._progress(unit), unit.positions[0], None
            return
        request, grid = self.request, self.area.grid
        self._predictor.at(() if self.info.volumetric else unit.read)
        tiles = (grid.shape, request.tile, request.overlap, first)
        bands = predict_bands(self._predict, grid.read(lambda box: self._read(unit, box)), *tiles)
        for band in grid.back(self._counted(unit, bands)):
            if band is None:
                yield self._progress(unit), unit.positions[0], None
                continue
            slices = len(unit.read) if self.info.volumetric else 1
            values = band.values.reshape(-1, slices, *band.values.shape[1:])
            for position, offset in zip(unit.positions, unit.offsets, strict=True):
                part = self.area.inner(Band(band.rows, values[:, offset]))
                yield self._progress(unit), position, part

    def _read(self, unit: Slab, box: Box) -> np.ndarray:
        """Return a box of what the network sees, channels and slices first."""
        request, info = self.request, self.info
        axes, more = ImageAxes(request.axes), (self.limits, request.channels, box)
        if info.volumetric:
            slices = [prepare_slices(self.image, axes, k, info, *more) for k in unit.read]
            return np.stack(slices, axis=1)
        return prepare_slices(self.image, axes, self.frames[unit.positions[0]], info, *more)

    def _predict(self, tile: np.ndarray, number: int) -> np.ndarray:
        """Return planes ``(K, h, w)``; those of a volume one after the other."""
        found = self._predictor(tile, number)
        return found.reshape(-1, *found.shape[-2:])

    def _counted(self, unit: Slab, bands: Iterator[Band | None]) -> Iterator[Band | None]:
        for band in bands:
            self._done += 1
            yield band
            if band is not None:  # after it was taken
                self._mark(unit, self.bands[unit.positions[0]] + 1)

    def back_off(self, error: Exception) -> None:
        """Go on with smaller tiles, or on the CPU.

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

    def _progress(self, unit: Slab) -> Progress:
        total = self._per_unit * len(self._units)
        passed = time.monotonic() - self._started
        speed = (self._done - self._before) / passed if passed > 0 else 0.0
        left = (total - self._done) / speed if speed > 0 else None
        text = f"Tile {self._done} of {total}"
        if len(self.frames) > 1:
            text = f"Slice {unit.positions[-1] + 1} of {len(self.frames)}, {text.lower()}"
        pixels = math.prod(self.area.inner_shape) * len(self.frames)
        rate = speed * pixels / total if speed > 0 else None
        frame = unit.positions[-1] + 1
        return Progress(text, self._done, total, frame, len(self.frames), left, rate)
