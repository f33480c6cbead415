"""Programs that paint, save and train until they are killed, and what they leave behind.

    python killed.py FOLDER KILLS AT_ONCE

Run apart from the tests, because it forks: a fork of a program with a window is no good.
Prints a line of JSON for every life, and then one for every training run that was taken up again.
"""

import json
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path
from threading import Thread

import monai.transforms  # noqa: F401 (before the forks, which would each import it)
import numpy as np
import torch

from napari_seglite import FineTuner
from napari_seglite.annotation import AnnotationProject, Autosave, ProjectImage
from napari_seglite.annotation import project as projects
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.errors import SegliteError
from napari_seglite.images import Box, Corrections, ImageAxes, TrainingImage
from napari_seglite.training import FineTuneRequest, StepDone, TrainingEvent, training_run
from napari_seglite.training.saved_state import SavedState

SIDE, LONGEST, PROMISED = 700, 4.0, 2.0
# One life in so many trains as well.
TRAINING = 10
STROKE = struct.Struct("<dII")  # when, which number, into which row
REQUEST = FineTuneRequest("u2net-msac", "learnt")
INFO = CheckpointInfo("learnt", "u2net-msac")


def fine_tuner(folder: Path) -> FineTuner:
    """Return a training run that is saved after every step and would take hours."""
    training_run.SAVE_EVERY = 0
    rng = np.random.default_rng(0)
    frame = rng.random((1, 48, 48), np.float32)
    images = [TrainingImage(str(k), frame, (frame[0] > 0.5).astype(np.uint8)) for k in range(2)]
    size = {"steps": 10**6, "minutes": 10**6, "batch": 1, "patch": 32, "validate_every": 10**6}
    request = FineTuneRequest("unet-sharp", "trained", device="cpu").adjusted(**size)
    template = CheckpointInfo("trained", "unet-sharp", options={"preset": "tiny"})
    store = CheckpointStore(folder / "trained" / "checkpoints", folder / "none")
    return FineTuner(request, images, store, template)


def train(folder: Path) -> None:
    """Train until killed."""
    for _ in fine_tuner(folder).run():
        pass


def take_up(folder: Path) -> dict[str, object]:
    """Go on with a run that was killed, for a step."""
    saved = (folder / "trained" / "training" / "trained.safetensors").exists()
    events: list[TrainingEvent] = []
    events.extend(fine_tuner(folder).run(lambda: any(isinstance(e, StepDone) for e in events)))
    steps = [event.status.step for event in events if isinstance(event, StepDone)]
    went_on = any(event.text.startswith("Going on from step") for event in events)
    return {"saved": saved, "went_on": went_on, "steps": steps, "end": type(events[-1]).__name__}


def live(folder: Path, seed: int) -> None:
    """Paint strokes with rising numbers, note each after it was painted; save weights too."""
    random.seed(seed)
    if seed % TRAINING == 0:
        Thread(target=train, args=(folder,), daemon=True).start()
    projects.LONG_JOURNAL = 20_000  # so that the journal is worked in now and then
    project = AnnotationProject.open(folder / "project", create=True)
    labels = np.zeros((SIDE, SIDE), np.uint16)
    image = ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, SIDE, SIDE)))
    project.add(image, labels)
    saver = Autosave(project)
    saver.watch(image, lambda: labels)
    store = CheckpointStore(folder / "checkpoints", folder / "none")
    state = SavedState(folder / "training", "learnt")
    weights = {"w": torch.zeros(50_000)}
    with (folder / "strokes").open("ab", buffering=0) as notes:
        for number in range(1, SIDE):
            labels[number, random.randrange(SIDE // 2) :] = number
            image.corrections = image.corrections.touch(0, Box(number, 0, number + 1, SIDE))
            saver.labels_changed(image, (number, 0), (number + 1, SIDE))
            saver.index_changed()
            notes.write(STROKE.pack(time.monotonic(), number, number))
            store.save(INFO, weights, overwrite=True)
            state.save(REQUEST, weights, {"step": number})
            time.sleep(random.random() * 0.2)


def inspect(folder: Path, killed: float) -> dict[str, object]:
    """Open what a killed program left."""
    blob = (folder / "strokes").read_bytes() if (folder / "strokes").exists() else b""
    strokes = list(STROKE.iter_unpack(blob[: len(blob) // STROKE.size * STROKE.size]))
    due = [number for when, number, _ in strokes if when < killed - PROMISED]
    life: dict[str, object] = {"strokes": len(strokes), "due": len(due), "broken": "", "lost": []}
    journal = folder / "project" / "journal.bin"
    life["journal"] = journal.exists()
    if not (folder / "project" / "project.json").exists():
        life["lost"] = due
        return life
    try:
        project = AnnotationProject.open(folder / "project")
        found = {n for key in project.images for n in np.unique(project.labels(key)[:]).tolist()}
        life["lost"] = [number for number in due if number not in found]
        marked = {r.strokes for i in project.images.values() for r in i.corrections.regions}
        if due and max(marked, default=0) < max(due):
            life["lost"] = [*life["lost"], "marks"]
        project.close()
        store = CheckpointStore(folder / "checkpoints", folder / "none")
        for path in (folder / "checkpoints").glob("[!.]*"):
            assert store.info(path.name).weights_sha256
        if len(strokes) > 1:
            assert SavedState(folder / "training", "learnt").load(REQUEST)
    except (SegliteError, AssertionError) as error:
        life["broken"] = repr(error)
    return life


def main() -> None:
    root, kills, at_once = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    chance = random.Random(5)
    for first in range(0, kills, at_once):
        alive = {}
        for number in range(first, min(first + at_once, kills)):
            folder = root / str(number)
            folder.mkdir()
            pid = os.fork()
            if pid == 0:
                live(folder, number)
                os._exit(1)
            # Those that train need the processor that the others leave.
            begin = 0 if number % TRAINING else LONGEST
            alive[pid] = folder, time.monotonic() + begin + chance.random() * LONGEST
        for pid, (folder, end) in sorted(alive.items(), key=lambda entry: entry[1][1]):
            time.sleep(max(0, end - time.monotonic()))
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            _, status = os.waitpid(pid, 0)
            died = os.WIFSIGNALED(status)
            life = inspect(folder, killed)
            if not died:
                life["broken"] = "it ended by itself"
            print(json.dumps(life), flush=True)
    # Only now: a process that has trained cannot fork others that do.
    for number in range(0, kills, TRAINING):
        print(json.dumps(take_up(root / str(number))), flush=True)


if __name__ == "__main__":
    main()
