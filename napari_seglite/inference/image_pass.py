"""One pass of a network over the frames of an image, tile by tile, in the available memory."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, prepare_slices
from ..errors import DeviceError
from ..images import Box, ImageAxes, region_of
from ..runtime import WithResult, devices, warm_up
from .coverage import Coverage, Tiles
from .emptiness import (
    absent_classes,
    background,
    decided_together,
    empty_notice,
    is_empty,
    without,
)
from .finite import finite
from .mosaic import Mosaic, Patch, Place, TileGrid
from .predictor import Predictor
from .progress import Finished, Progress, View
from .request import SMALLEST_TILE, SegmentRequest
from .rescaling import Resampling
from .runtimes import Runtime
from .slabs import Slab, plan_slabs

if TYPE_CHECKING:
    from torch import nn


# Share of the free memory that a tile may use.
MEMORY_SHARE = 0.5
# Tiles that may wait for their neighbours; with more, tiles follow one another by their numbers.
MOST_WAITING = 400
# A frame that is not in memory is read at once if the network's input for it has at most so many
# bytes, since a lazy array may have to compute all of it for every tile.
READ_AT_ONCE = 300_000_000
# The same for an array in a file, whose chunks are read only where they are needed.
READ_STORED = 8_000_000


@dataclass
class ImagePass:
    """A pass of a network over an image.

    Where memory runs out, tiles are halved, then it moves to the CPU; unfinished frames are redone.

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
        Replaced if another device or tile size has to be used.
    limits : tuple of float
        Intensities that become 0 and 1; equal if the image is constant.
    notices : list of str
        Messages for the user.
    view : callable
        Returns what the user sees now, or None; asked before every tile, in any thread.
    runtime : Runtime, optional
        What computes the network; torch if not given.
    window : Box, optional
        The part of the frame to predict, with the same tiles as in a pass over the whole frame;
        all of the request's region if not given.

    Attributes
    ----------
    box : Box
        Box of the predicted pixels, the same in every frame: around the requested region, or the
        window.
    resampling : Resampling
        Of the box that the network sees: `box` and half a tile's overlap around it.
    tiles : Tiles
        What is done; updated during the pass.
    """

    image: Any
    frames: tuple[int, ...]
    info: CheckpointInfo
    network: nn.Module
    request: SegmentRequest
    limits: tuple[float, float]
    notices: list[str] = field(default_factory=list)
    view: Callable[[], View | None] = lambda: None
    runtime: Runtime | None = None
    window: Box | None = None

    def __post_init__(self) -> None:
        axes = ImageAxes(self.request.axes)
        self._frame_shape = axes.frame_shape(self.image.shape)
        self._region = region_of(self.request.region, self._frame_shape).box(self._frame_shape)
        self.box = self.window or self._region
        self._slabs = plan_slabs(axes, self.image.shape, self.frames, self.info)
        self._together: list[tuple[int, ...]] = [(number,) for number in range(len(self._slabs))]
        if self.info.volumetric:
            self._together = decided_together(self._slabs, axes.volumes(self.image.shape))
        self.tiles = Tiles(np.zeros((len(self._slabs), 0, 0), bool))
        self._cut()
        self._before, self._started = 0, 0.0
        self._held: tuple[Slab, Box, np.ndarray] | None = None
        self._fit_memory()
        self._predictor = self._new_predictor()

    def _cut(self) -> None:
        """Plan the tiles; only slabs that are finished stay so."""
        request, shape = self.request, self._frame_shape
        halo = math.ceil(request.overlap / 2 / request.rescale)
        self.resampling = Resampling(shape, self._region.grown(halo, shape), request.rescale)
        self.grid = TileGrid(self.resampling, self.box, request.tile, request.overlap)
        before = self.tiles.done
        finished = before.all((1, 2)) if before.size else np.zeros(len(self._slabs), bool)
        done = np.zeros((len(self._slabs), *self.grid.shape), bool)
        done[finished] = True
        done[:, ~self.grid.needed] = True
        self.tiles = Tiles(done, absent=self.tiles.absent)

    # ------------------------------------------------------------------ the pass
    def run(self) -> Generator[tuple[Progress, int, Patch | None]]:
        """Run the network, tile by tile.

        Yields
        ------
        Progress
            Progress after a tile.
        int
            Position of the frame in `frames`.
        Patch or None
            Pixels of `box` that the tile has finished.

        Raises
        ------
        CheckpointError
            If the network gives numbers that are NaN or infinite.
        DeviceError
            If the smallest tiles do not fit into the CPU's memory.
        """
        self._started = time.monotonic()
        self._before = int(self.tiles.done.sum())
        last: int | None = None
        while (number := self._next_slab(last)) is not None:
            try:
                yield from self._run_slab(number)
                last = number
            except RuntimeError as error:
                if not devices.out_of_memory(error):
                    raise
                self.back_off(error)

    def resume(self, tiles: Tiles) -> None:
        """Continue what another pass of the same tiles began."""
        waiting = {number: dict(values) for number, values in tiles.waiting.items()}
        self.tiles = Tiles(tiles.done.copy(), waiting, dict(tiles.absent))

    def coverage(self) -> Coverage:
        """Return which pixels of `box` are finished."""
        cells = np.zeros((len(self.frames), *map(len, self.grid.edges())), bool)
        for slab, done in zip(self._slabs, self.tiles.done, strict=True):
            cells[list(slab.positions)] = self.grid.finished_cells(done)
        return Coverage(self.box.shape, *self.grid.edges(), cells)

    def _next_slab(self, last: int | None) -> int | None:
        """Return the slab to compute next: the one that is seen, then its neighbours outward."""
        left = np.flatnonzero(~self.tiles.done.all((1, 2))).tolist()
        view = self.view()
        if not left or view is None:
            return left[0] if left else None

        def distance(number: int) -> int:
            return min(abs(self.frames[k] - view.frame) for k in self._slabs[number].positions)

        near = int(min(left, key=lambda number: (distance(number), number)))
        if self.info.context_slices > 1 and last is not None and distance(near) > 0:
            # The next slice shares most of its features with this one.
            return last + 1 if last + 1 in left else near
        return near

    # ------------------------------------------------------------------ one slab
    def _run_slab(self, number: int) -> Generator[tuple[Progress, int, Patch | None]]:
        slab, done = self._slabs[number], self.tiles.done[number]
        if self.limits[0] >= self.limits[1]:  # a constant image: the network has nothing to see
            done[:] = True
            yield self._progress(number), slab.positions[0], None
            return
        absent: tuple[int, ...] = ()
        if self.request.keep_empty:
            absent = yield from self._look(number)
        if is_empty(absent, self.info.classes):
            yield from self._leave_empty(number)
            return
        self._predictor.at(() if self.info.volumetric else slab.read)
        mosaic = Mosaic(self.grid, done, self.tiles.waiting.setdefault(number, {}))
        for tile, values in self._predicted(slab, mosaic, absent):
            patches = mosaic.add(tile, self._finite(values, number))
            yield from self._of_frames(number, patches)
        self.tiles.waiting.pop(number, None)

    def _predicted(
        self, slab: Slab, mosaic: Mosaic, absent: tuple[int, ...]
    ) -> Iterator[tuple[Place, np.ndarray]]:
        """Yield the tiles that are left and their values; the next ones are on their way then."""
        together = self._prepare(slab)
        left, coming = ~mosaic.done, deque[tuple[Place, Callable[[], np.ndarray]]]()
        reader, workers = ThreadPoolExecutor(1), ThreadPoolExecutor(together)

        def values(tile: Place, pixels: Future[np.ndarray]) -> np.ndarray:
            return self._predict(pixels.result(), tile[0] * self.grid.shape[1] + tile[1], absent)

        try:
            while True:
                while len(coming) <= together and (tile := self._next_tile(slab, mosaic, left)):
                    left[tile] = False
                    compute = partial(values, tile, reader.submit(self._read_tile, slab, tile))
                    # A single one in this thread, whose other threads torch has already.
                    alone = together == 1
                    coming.append((tile, compute if alone else workers.submit(compute).result))
                if not coming:
                    return
                tile, result = coming.popleft()
                yield tile, result()
        finally:
            reader.shutdown(wait=False, cancel_futures=True)
            workers.shutdown(cancel_futures=True)

    def _prepare(self, slab: Slab) -> int:
        """Get the runtime ready for the tiles; return how many are computed side by side."""
        axes, tile = ImageAxes(self.request.axes), self.grid.tile_box((0, 0)).shape
        of_frame = math.prod(self.grid.shape)
        free, most = devices.free_memory(self.request.device), of_frame
        if free is not None:
            most = int(MEMORY_SHARE * free / (self._pixel_memory * math.prod(tile)))
        of_image = of_frame * axes.frame_count(self.image.shape)
        shape = (self.info.in_channels, *tile)
        return self._predictor.runtime.prepare(shape, of_frame, of_image, most)

    def _next_tile(self, slab: Slab, mosaic: Mosaic, left: np.ndarray) -> Place | None:
        """Return the tile to compute next: a visible one, or else the first one."""
        view = self.view()
        box = None if view is None or len(mosaic.waiting) > MOST_WAITING else view.box
        return self.grid.next_tile(left, box)

    def _of_frames(
        self, number: int, patches: list[Patch]
    ) -> Generator[tuple[Progress, int, Patch | None]]:
        """Yield what a tile has finished, for each frame of a slab."""
        slab = self._slabs[number]
        progress = self._progress(number)
        if not patches:
            yield progress, slab.positions[0], None
        slices = len(slab.read) if self.info.volumetric else 1
        for patch in patches:
            values = patch.values.reshape(-1, slices, *patch.values.shape[1:])
            for position, offset in zip(slab.positions, slab.offsets, strict=True):
                yield progress, position, Patch(patch.box, values[:, offset])

    def _read_tile(self, slab: Slab, tile: Place) -> np.ndarray:
        """Return the network's input for a tile, ``(C, [Z,] h, w)`` float32."""
        part = self.grid.tile_box(tile)
        box = self.resampling.source_box(part)
        if self._held is None or self._held[0] is not slab or not self._held[1].holds(box):
            self._held = None  # two of them may not fit into memory
            wider = self._worth_reading(slab, box)
            self._held = slab, wider, self._read(slab, wider)
        _, held, pixels = self._held
        own = np.ascontiguousarray(pixels[..., *box.within(held).slices])
        return self.resampling.to_network(own, part)

    def _worth_reading(self, slab: Slab, box: Box) -> Box:
        """Return the box to read at once for a tile."""
        if isinstance(self.image, np.ndarray):
            return box
        whole = self._whole
        pixel = 4 * self.info.in_channels * len(slab.read)
        limit = READ_STORED if _stored_in_chunks(self.image) else READ_AT_ONCE
        if pixel * math.prod(whole.shape) <= limit:
            return whole
        if self.view() is None:  # tiles follow one another along the row
            return box._replace(left=whole.left, right=whole.right)
        return box

    @property
    def _whole(self) -> Box:
        """The box of the frame's pixels that the network sees."""
        if self.window is None:
            return self.resampling.box
        needed = [self.grid.tile_box((int(r), int(c))) for r, c in np.argwhere(self.grid.needed)]
        return self.resampling.source_box(reduce(Box.joined, needed))

    def _read(self, slab: Slab, box: Box) -> np.ndarray:
        """Return the network's input in a box of the frame, ``(C, [Z,] h, w)`` float32."""
        info, axes = self.info, ImageAxes(self.request.axes)

        def read_slices(frame: int) -> np.ndarray:
            channels = self.request.channels
            return prepare_slices(self.image, axes, frame, info, self.limits, channels, box)

        if info.volumetric:
            return np.stack([read_slices(frame) for frame in slab.read], axis=1)
        return read_slices(self.frames[slab.positions[0]])

    def _predict(self, tile: np.ndarray, number: int, absent: tuple[int, ...]) -> np.ndarray:
        """Return planes ``(K, h, w)``; those of a volume one after the other."""
        probabilities = without(self._predictor(tile, number), absent)
        return probabilities.reshape(-1, *probabilities.shape[-2:])

    def _finite(self, values: np.ndarray, number: int) -> np.ndarray:
        """Return what the network gave for a tile of a slab; see `finite` for the error."""
        frame = self.frames[self._slabs[number].positions[0]]
        place = f"slice {frame}" if len(self.frames) > 1 else "this image"
        return finite(values, self.info.id, place)

    def finished(
        self, position: int, patch: Patch, values: np.ndarray, planes: np.ndarray
    ) -> Finished:
        """Return finished pixels with their place in the image.

        Parameters
        ----------
        position : int
            Position of the frame in `frames`.
        patch : Patch
            Its box is counted from the corner of `box`.
        values, planes : ndarray
            See `Finished`.
        """
        top, left = self.box[:2]
        box = patch.box
        place = Box(box.top + top, box.left + left, box.bottom + top, box.right + left)
        return Finished(self.frames[position], place, values, planes)

    # ------------------------------------------------------------------ empty images
    def _look(self, number: int) -> Generator[tuple[Progress, int, None], None, tuple[int, ...]]:
        """Return the channels of the classes that are nowhere in the image of a slab."""
        if number not in self.tiles.absent:
            together = self._together[number]
            tiles = (tile for other in together for tile in self._read_tiles(self._slabs[other]))

            def presence(tile: np.ndarray) -> np.ndarray:
                return self._finite(self._predictor.presence(tile), number)

            looking = WithResult(absent_classes(tiles, presence, self.info.classes))
            for _ in looking:
                progress = replace(self._progress(number), text="Looking for objects …")
                yield progress, self._slabs[number].positions[0], None
            self.tiles.absent.update(dict.fromkeys(together, looking.result))
        return self.tiles.absent[number]

    def _read_tiles(self, slab: Slab) -> Iterator[np.ndarray]:
        for tile in np.ndindex(*self.grid.shape):
            yield self._read_tile(slab, tile)

    def _leave_empty(self, number: int) -> Generator[tuple[Progress, int, Patch | None]]:
        """Yield the frames of a slab without any foreground."""
        info, positions = self.info, self._slabs[number].positions
        planes = info.classes + info.head_channels + (self.request.ensemble != "none")
        for position in positions:
            for patch in background(self.box.shape, planes, info.classes):
                yield self._progress(number), position, patch
        self.tiles.done[number] = True
        yield self._progress(number), positions[0], None

    def told(self) -> list[str]:
        """Return the messages for the user, also about frames that stay empty."""
        left = [n for n, absent in self.tiles.absent.items() if is_empty(absent, self.info.classes)]
        frames = sorted(self.frames[k] for n in left for k in self._slabs[n].positions)
        return [*self.notices, *empty_notice(frames, len(self.frames))]

    # ------------------------------------------------------------------ memory
    def _fit_memory(self) -> None:
        """Choose tiles that fit into the free memory."""
        request = self.request
        free = devices.free_memory(request.device)
        if free is None or not self._slabs:
            return
        pixel, tile = self._pixel_memory, request.tile
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

    @property
    def _pixel_memory(self) -> int:
        """Bytes that a pixel of a tile needs."""
        slices = len(self._slabs[0].read) if self.info.volumetric else 1
        return src_models.card(self.info.network).memory * slices

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
        self.request = replace(
            self.request, tile=tile, overlap=min(self.request.overlap, tile // 4)
        )
        self._cut()

    def _new_predictor(self) -> Predictor:
        how = self.request.device, self.request.ensemble, self.info, self.runtime
        return Predictor(self.network, *how)

    # ------------------------------------------------------------------ progress
    def _progress(self, number: int) -> Progress:
        all_tiles = self.tiles.done
        total, done = all_tiles.size, int(all_tiles.sum())
        elapsed = time.monotonic() - self._started
        speed = (done - self._before) / elapsed if elapsed > 0 else 0.0
        left = (total - done) / speed if speed > 0 else None
        text = f"Tile {done} of {total}"
        finished = np.asarray(all_tiles.all((1, 2)))
        frame = sum(len(self._slabs[k].positions) for k in np.flatnonzero(finished))
        frame += 0 if finished[number] else 1
        if len(self.frames) > 1:
            text = f"Slice {frame} of {len(self.frames)}, {text.lower()}"
        rate = speed * math.prod(self.box.shape) * len(self.frames) / total if speed > 0 else None
        return Progress(text, done, total, frame, len(self.frames), left, rate)


def _stored_in_chunks(image: Any) -> bool:
    """Whether an array is one of Zarr; the chunks of a lazy array have a size each."""
    chunks = getattr(image, "chunks", None)
    return isinstance(chunks, tuple) and all(isinstance(size, int) for size in chunks)
