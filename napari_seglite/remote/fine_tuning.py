"""Fine-tune on another computer, with the same events and checkpoint as on this one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, read_archive
from ..errors import CheckpointError
from ..images import TrainingImage
from ..runtime import Stop, never
from ..training import (
    FineTuner,
    FineTuneRequest,
    Finished,
    Message,
    Previewed,
    RunCallbacks,
    RunStatus,
    TrainingEvent,
    Validated,
    free_name,
)
from .connection import Connection, RemoteSession
from .messages import Controls, Yielded


class RemoteFineTuner(FineTuner):
    """A `FineTuner` whose network learns on another computer.

    Checkpoint and annotated frames are sent there, events come back, and so does the new
    checkpoint, which is put into the store here. Frames that are annotated during the run are
    learnt from one score later than here.

    Parameters
    ----------
    connection : Connection
        To the other computer.
    request, images, store, template
        See `FineTuner`, also for the errors.
    """

    def __init__(
        self,
        connection: Connection,
        request: FineTuneRequest,
        images: Sequence[TrainingImage],
        store: CheckpointStore | None = None,
        template: CheckpointInfo | None = None,
    ) -> None:
        super().__init__(request, images, store, template)
        self._connection, self._template = connection, template

    def run(
        self, stop: Stop = never, abort: Stop = never, callbacks: RunCallbacks | None = None
    ) -> Iterator[TrainingEvent]:
        """Train there until the end or until stopped; see `FineTuner.run`.

        Raises
        ------
        RemoteError
            If the other computer cannot be reached, does not fit, or is lost.
        """
        callbacks = callbacks or RunCallbacks()
        begun = callbacks.clock() if callbacks.begun is None else callbacks.begun
        status = RunStatus(steps=self.request.schedule.steps)
        name = self._connection.address.name
        yield Message(f"Connecting to {name} …", status)
        with self._connection.session(lambda: stop() or abort()) as session:
            computer, _ = session.call("describe")
            yield Message(f"Sending the checkpoint and {len(self.images)} frames …", status)
            request = self._send(session)
            session.call("train", request, self._template, callbacks.clock() - begun)
            yield from self._follow(session, computer, stop, abort, callbacks)

    def _send(self, session: RemoteSession) -> FineTuneRequest:
        """Send what is learnt from, and return the request as the other computer reads it."""
        start = self.request.checkpoint
        if start in src_models.names():
            request = self.request
        else:
            session.send_checkpoint(self.store, start)
            request = replace(self.request, checkpoint=self.store.info(start).id)
        self._send_images(session)
        return request

    def _send_images(self, session: RemoteSession) -> None:
        for number, image in enumerate(self.images):
            session.call("add_image", image, number == 0)

    def _follow(
        self,
        session: RemoteSession,
        computer: str,
        stop: Stop,
        abort: Stop,
        callbacks: RunCallbacks,
    ) -> Iterator[TrainingEvent]:
        """Pass on the events, and answer what the run asks."""
        previews = _Previews(callbacks)

        def controls() -> Controls:
            previews.send(session)
            return Controls(stop(), abort(), callbacks.paused())

        for message in session.conversation(controls):
            if not isinstance(message, Yielded):
                continue
            event: Any = message.value
            match event:
                case Finished():
                    # Fetched first: what is here is not lost with the connection.
                    known = event.checkpoint is not None
                    yield self._saved(session, computer, event) if known else event
                    return
                case Previewed(patch=int(number)):
                    yield replace(event, patch=previews.patches[number])
                case _:
                    yield event
            if isinstance(event, Validated) and (images := callbacks.new_examples()) is not None:
                self._take(images)
                self._send_images(session)
                session.call("renew_images")

    def _saved(self, session: RemoteSession, computer: str, event: Finished) -> Finished:
        """Fetch the new checkpoint, put it into the store, and return the event with its card."""
        folder = Path(tempfile.mkdtemp(prefix="seglite-"))
        archive = folder / f"{self.request.name}.zip"
        session.fetch(archive)
        try:
            info = self._put(archive, computer)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error} The new checkpoint is in {archive}: import it in the Models tab."
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        if info.id == self.request.name:
            return replace(event, checkpoint=info)
        note = f"The name {self.request.name} was taken meanwhile."
        text = event.text.replace(self.request.name, info.id, 1)
        note_of_all = f"{event.note} {note}".strip()
        return replace(event, checkpoint=info, text=f"{text} {note}", note=note_of_all)

    def _put(self, archive: Path, computer: str) -> CheckpointInfo:
        """Put a checkpoint into the store; its card says where it was trained."""
        packed = read_archive(archive)
        name = free_name(self.store, self.request.name)
        settings = {**packed.info.settings, "name": name, "computer": computer}
        data = {**packed.data, "id": name, "settings": settings}
        info = replace(packed.info, id=name, settings=settings)
        return self.store.put(replace(packed, info=info, data=data))


@dataclass
class _Previews:
    """Sends the patch that the user looks at whenever it changed, but not too often."""

    callbacks: RunCallbacks
    patches: list[object] = field(default_factory=list)
    _next: float = 0.0

    def send(self, session: RemoteSession) -> None:
        """Send the patch if it is time to."""
        if time.monotonic() < self._next:
            return
        asked = self.callbacks.preview_frame()
        self._next = time.monotonic() + self.callbacks.preview_every / 2
        if asked is None or (self.patches and self.patches[-1] == asked[1]):
            return
        self.patches.append(asked[1])
        session.call("preview", asked[0], len(self.patches) - 1)
