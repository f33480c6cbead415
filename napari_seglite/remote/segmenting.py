"""Segment on another computer, with the same progress and result as on this one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo, Intensities, measure_intensities
from ..errors import Cancelled, RemoteError
from ..images import Box, ImageAxes, at_level, region_of
from ..inference import (
    LABELLING,
    Coverage,
    Finished,
    Outputs,
    Progress,
    Segmentation,
    Segmenter,
    SegmentRequest,
    View,
    chosen_frames,
)
from ..runtime import Stop, never
from .connection import Connection, RemoteSession
from .messages import Controls, PixelsAsked, Yielded
from .session import digest

# What the other computer may have chosen in place of what was asked for.
CHOSEN = ("device", "runtime", "precision", "tile", "overlap")


@dataclass
class RemoteSegmenter(Segmenter):
    """A `Segmenter` whose network runs on another computer.

    The checkpoint and the pixels that the network reads are sent there. Finished tiles come back
    one by one, and labels are made of them here. What has come stays if the connection is lost.

    Parameters
    ----------
    store, in_memory
        See `Segmenter`.
    connection : Connection
        To the other computer.

    Examples
    --------
    >>> connection = Connection(read_address("localhost"))  # doctest: +SKIP
    >>> segmenter = RemoteSegmenter(connection=connection)  # doctest: +SKIP
    >>> labels = segmenter.segment(image, request).labels  # doctest: +SKIP
    """

    connection: Connection | None = None

    def predict(
        self,
        image: Any,
        request: SegmentRequest,
        stop: Stop = never,
        resume: Segmentation | None = None,
        view: Callable[[], View | None] = lambda: None,
        known: Intensities | None = None,
    ) -> Generator[Progress, None, Segmentation]:
        """Do all of a segmentation but for the labels; see `Segmenter.predict`.

        Raises
        ------
        SegliteError
            As `Segmenter.run` does.
        RemoteError
            If the other computer cannot be reached, does not fit, or is lost before anything came.
        """
        assert self.connection is not None
        image = at_level(image, request.level)
        frames = chosen_frames(image, request)
        info = self.store.info(request.checkpoint)
        if known is None:
            yield Progress("Reading the image …", frames=len(frames))
            axes, channels = ImageAxes(request.axes), request.channels
            known = measure_intensities(image, axes, info, channels, stop)
        job = _Job(image, request, frames, info, known, self.in_memory)
        job.resume(resume)
        name = self.connection.address.name
        yield Progress(f"Connecting to {name} …", frames=len(frames))
        with self.connection.session(stop) as session:
            if not session.call("take", digest(info)):
                yield Progress(f"Sending the checkpoint to {name} …", frames=len(frames))
                session.send_checkpoint(self.store, request.checkpoint)
            job.begin(session)
            try:
                return (yield from job.follow(session, stop, view))
            except RemoteError as error:
                return job.lost(error, stop())


class _Job:
    """A segmentation on another computer: what is sent, and what has come back."""

    def __init__(
        self,
        image: Any,
        request: SegmentRequest,
        frames: tuple[int, ...],
        info: CheckpointInfo,
        known: Intensities,
        in_memory: int | None,
    ) -> None:
        self.image, self.request, self.frames, self.info = image, request, frames, info
        self.known = known
        self.shape = tuple(int(n) for n in image.shape)
        plane = ImageAxes(request.axes).frame_shape(self.shape)
        self.box = region_of(request.region, plane).box(plane)
        self._in_memory = in_memory
        self._before: Segmentation | None = None
        self._come: list[tuple[int, Box]] = []
        self._outputs = self._begin()

    def _begin(self) -> Outputs:
        how = self.info, self.request.ensemble, self.known.limits, self._in_memory
        return Outputs.empty(len(self.frames), self.box.shape, *how)

    def resume(self, before: Segmentation | None) -> None:
        """Go on from a cancelled result of the same image, if it is one of another computer."""
        if before is None or before.coverage is None or before.tiles is None:
            return
        request = self.request.resolved(self.info)
        free = {name: getattr(request, name) for name in (*LABELLING, *CHOSEN)}
        weights = before.info.weights_sha256 == self.info.weights_sha256
        same = weights and before.frames == self.frames and before.shape == self.shape
        if same and replace(before.request, **free) == request:
            self._before, self._come = before, before.coverage.boxes()
            self._outputs = Outputs(before.probabilities, before.head, before.disagreement)

    # ------------------------------------------------------------------ there
    def begin(self, session: RemoteSession) -> None:
        """Ask the other computer to begin."""
        before = self._before
        if before is not None:
            before = replace(
                before,
                labels=None,
                probabilities=None,
                head=None,
                disagreement=None,
                request=self._sent(before.request),
            )
        asked = self._sent(self.request), self.shape, np.dtype(self.image.dtype)
        session.call("segment", digest(self.info), *asked, self.known, before)

    def _sent(self, request: SegmentRequest) -> SegmentRequest:
        """Return a request as the other computer reads it: it sees one level, and an id."""
        return replace(request, level=0, checkpoint=self.info.id)

    def follow(
        self, session: RemoteSession, stop: Stop, view: Callable[[], View | None]
    ) -> Generator[Progress, None, Segmentation]:
        """Supply the pixels that are asked for, and take what is finished, until the end."""
        steps = session.conversation(lambda: Controls(stop=stop(), view=view()))
        while True:
            try:
                message = next(steps)
            except StopIteration as end:
                return self._result(end.value)
            match message:
                case PixelsAsked(number, index):
                    session.call("supply", number, np.asarray(self.image[index]))
                case Yielded(Progress() as progress):
                    if progress.finished is not None:
                        progress = replace(progress, finished=self._take(progress.finished))
                    yield progress

    def _take(self, finished: Finished) -> Finished:
        """Store finished pixels."""
        position, box, planes = self.frames.index(finished.frame), finished.box, finished.planes
        box = box.within(self.box)
        self._come.append((position, box))
        return replace(finished, values=self._outputs.write(position, box, planes))

    # ------------------------------------------------------------------ here
    def _result(self, result: Segmentation) -> Segmentation:
        """Return what the other computer ended with, with the probabilities that came."""
        request = replace(
            result.request, level=self.request.level, checkpoint=self.request.checkpoint
        )
        return self._filled(replace(result, request=request, shape=self.shape))

    def _filled(self, result: Segmentation) -> Segmentation:
        outputs = self._outputs
        return replace(
            result,
            probabilities=outputs.probabilities,
            head=outputs.head,
            disagreement=outputs.disagreement,
        )

    def lost(self, error: RemoteError, stopped: bool) -> Segmentation:
        """Return what had come when the connection was lost.

        Raises
        ------
        RemoteError, Cancelled
            If nothing had.
        """
        if not self._come:
            if stopped:
                raise Cancelled from error
            raise error
        shape, count = self.box.shape, len(self.frames)
        result = Segmentation(
            labels=None,
            probabilities=None,
            frames=self.frames,
            request=self.request.resolved(self.info),
            info=self.info,
            shape=self.shape,
            memory_format="",
            notices=(f"{error} What had come by then is here.",),
            coverage=Coverage.of(shape, count, self._come),
        )
        return self._filled(result)
