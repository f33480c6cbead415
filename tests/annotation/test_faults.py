"""Every file operation of a session fails, tears or is delayed once; nothing is lost."""

import numpy as np
import pytest
import torch
from faults import Died, Faults

from napari_seglite.annotation import AnnotationProject, Autosave, ClassList, ProjectImage
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.errors import SegliteError
from napari_seglite.images import Box, Corrections, ImageAxes
from napari_seglite.training import FineTuneRequest
from napari_seglite.training.saved_state import SavedState

SHAPE = (20, 300)  # two chunks
CARD = CheckpointInfo("learnt", "unet-sharp", options={"preset": "tiny"})
WEIGHTS = {"w": torch.arange(100.0)}
REQUEST = FineTuneRequest("unet-sharp", "learnt")


class Session:
    """Somebody paints, undoes, accepts, names classes, closes, and saves a checkpoint.

    Attributes
    ----------
    labels : ndarray
        In the layer now.
    history : list of ndarray
        After every change; `kept` is the number of the last that was reported as saved.
    """

    def __init__(self, folder, background=False):
        self.folder, self.background = folder, background
        self.labels = np.zeros(SHAPE, np.uint8)
        self.history, self.kept = [self.labels.copy()], -1
        self.marks, self.kept_marks = [0], 0
        self.saved, self.told = [], []
        self.store = CheckpointStore(folder / "checkpoints", folder / "none")
        self.state = SavedState(folder / "training", "learnt")

    def play(self):
        """Do everything."""
        self.open()
        self.paint(1, slice(5, 9), slice(10, 40))
        self.undo()
        self.paint(2, slice(2, 4), slice(250, 262))  # over both chunks
        self.mark(lambda c: c.accept(0, "ada"))
        self.project.classes = ClassList(("background", "nucleus"))
        self.saver.index_changed()
        self.save()
        self.close()
        self.open()
        self.labels = self.labels.astype(np.uint16)
        self.paint(700, slice(0, 1), slice(290, 300))  # wider labels
        self.close()
        self.again(lambda: self.store.save(CARD, WEIGHTS))
        self.saved.append("checkpoint")
        self.again(lambda: self.state.save(REQUEST, WEIGHTS, {"step": 1}))
        self.again(lambda: self.state.save(REQUEST, WEIGHTS, {"step": 2}))
        self.saved.append("state")

    def again(self, act):
        """Do something, a second time if the disk was full; the user is told in between."""
        try:
            return act()
        except (SegliteError, OSError) as error:
            self.told.append(str(error))
            return act()

    def open(self):
        self.project = self.again(
            lambda: AnnotationProject.open(self.folder / "project", create=True)
        )
        images = list(self.project.images.values())
        fresh = ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, *SHAPE)), SHAPE)
        self.image = images[0] if images else fresh
        self.saver = Autosave(self.project, self.told.append, 0 if self.background else 1e6)
        if not self.background:
            self.saver.stop()  # what it would do is done in turn
        self.saver.watch(self.image, lambda: self.labels)
        self.save()

    def paint(self, label, rows, columns):
        self.labels[rows, columns] = label
        self.history.append(self.labels.copy())
        self.saver.labels_changed(
            self.image, (rows.start, columns.start), (rows.stop, columns.stop)
        )
        self.mark(lambda c: c.touch(0, Box(0, 0, 1, 1), by="ada"))
        self.save()

    def undo(self):
        self.labels[:] = self.history[-2]
        self.history.append(self.labels.copy())
        self.saver.recheck()
        self.save()

    def mark(self, change):
        self.image.corrections = change(self.image.corrections)
        self.marks.append(self.image.corrections.strokes)
        self.saver.index_changed()

    def save(self):
        for _ in range(2):  # a full disk is tried again
            self.saver.flush()
            if not self.saver.behind:
                self.kept, self.kept_marks = len(self.history) - 1, self.image.corrections.strokes
                return

    def close(self):
        assert self.saver.close() == "" or self.saver.close() == ""
        self.project.close()
        self.kept = len(self.history) - 1

    def check(self, complete):
        """Open what is on disk: nothing that was saved is missing."""
        try:
            project = AnnotationProject.open(self.folder / "project")
        except SegliteError:
            assert self.kept < 0  # it never came into being
            AnnotationProject.open(self.folder / "project", create=True).close()
            return
        assert project.damaged == {}
        possible = self.history[-1:] if complete else self.history[max(self.kept, 0) :]
        if project.images:
            found = project.labels("a")[:]
            for chunk in (np.s_[:, :256], np.s_[:, 256:]):
                assert any(np.array_equal(found[chunk], state[chunk]) for state in possible)
            assert project.images["a"].corrections.strokes >= self.kept_marks
        else:
            assert self.kept < 0
        assert not complete or project.classes.class_names[1] == "nucleus"
        project.close()
        left = [p.name for p in self.folder.rglob(".*") if not p.name.startswith(".lock")]
        assert [name for name in left if "project" in name] == []
        for name in self.store.list() and ["learnt"]:
            np.testing.assert_array_equal(self.weights(name), WEIGHTS["w"])
        assert "checkpoint" not in self.saved or self.store.list()
        state = self.state.load(REQUEST)
        assert "state" not in self.saved or state is not None
        if state is not None:
            assert state[1]["step"] in (1, 2)

    def weights(self, name):
        from safetensors.torch import load_file

        return load_file(self.store.path(name) / "weights.safetensors")["w"].numpy()


def operations(folder):
    """Return the number of file operations of a session."""
    session = Session(folder)
    with Faults(folder).active() as faults:
        session.play()
    session.check(complete=True)
    return faults.count


@pytest.mark.slow
@pytest.mark.parametrize("how", ["die", "fail", "delay"])
def test_every_operation(tmp_path, how):
    count = operations(tmp_path / "whole")
    assert count > 100
    for number in range(1, count + 1):
        folder = tmp_path / str(number)
        session = Session(folder, background=how == "delay")
        faults = Faults(folder, number, how)
        with faults.active():
            try:
                session.play()
            except Died:
                assert how == "die"
        # Two chunks written at once may both make their folder, or one finds it there.
        assert how == "delay" or faults.count >= number or number > count - 5
        if faults.dead and hasattr(session, "project"):
            session.project.abandon()  # the system ends the locks of a program that died
        session.check(complete=how != "die")
