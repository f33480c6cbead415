"""Fine-tune on another computer, with the same events and checkpoint as on this one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

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
            request, previews = self._send(session), _Previews(callbacks)
            previews.send(session)
            passed = callbacks.clock() - begun
            session.call("train", request, self._template, passed, callbacks.preview_every)

            def controls() -> Controls:
                previews.send(session)
                return Controls(stop(), abort(), callbacks.paused())

            for message in session.conversation(controls):
                if isinstance(message, Yielded):
                    event = self._arrived(session, message.value, previews, computer)
                    yield event
                    if isinstance(event, Finished):
                        return
                    if isinstance(event, Validated):
                        self._send_new_images(session, callbacks)

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

    def _send_new_images(self, session: RemoteSession, callbacks: RunCallbacks) -> None:
        """Send what was annotated meanwhile, if anything was."""
        if (images := callbacks.new_examples()) is not None:
            self._take(images)
            self._send_images(session)
            session.call("renew_images")

    def _arrived(
        self, session: RemoteSession, event: TrainingEvent, previews: _Previews, computer: str
    ) -> TrainingEvent:
        """Return an event as it is here: with the patch that was sent, and the card in the store.

        A new checkpoint is fetched first, so that it is not lost with the connection.
        """
        match event:
            case Finished(checkpoint=CheckpointInfo()):
                return self._saved(session, computer, event)
            case Previewed(patch=int(number)):
                return replace(event, patch=previews.patches[number])
        return event

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
