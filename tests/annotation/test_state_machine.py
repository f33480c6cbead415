"""Random sessions of a project against a plain model in memory."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_seglite.annotation import AnnotationProject, Autosave, ClassList, ProjectImage
from napari_seglite.images import Box, Corrections, ImageAxes

SHAPE = (2, 40, 300)
NAMES = st.sampled_from(["cells", "Cells", "con", "a/b", "ü", "..", "x" * 90])


class ProjectMachine(RuleBasedStateMachine):
    """Does what a user, a crash and another program do.

    The model is what every image should hold: its labels, its marks, and the classes.
    """

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.layers, self.steps, self.images = {}, {}, {}
        self.marks, self.classes = {}, ("background", "object")
        self.silent = set()

    @initialize()
    def begin(self):
        self.open()

    def open(self):
        self.project = AnnotationProject.open(self.folder / "project", create=True)
        assert self.project.damaged == {}
        assert self.project.notices == []
        self.images = dict(self.project.images)
        self.watch()

    def watch(self):
        self.saver = Autosave(self.project, delay=1e6)
        self.saver.stop()  # its work is done by `flush`
        for key, image in self.images.items():
            self.saver.watch(image, lambda key=key: self.layers.get(key))
        self.saver.flush()

    def any_image(self, number):
        return sorted(self.images)[number % len(self.images)]

    # ------------------------------------------------------------------ what the user does
    @precondition(lambda self: self.images)
    @rule(number=st.integers(0, 9), frame=st.integers(0, 1), seed=st.integers(0, 9))
    def change_something_without_a_word(self, number, frame, seed):
        """Change labels as a script may; it is found when the project is closed."""
        key = self.any_image(number)
        self.layers[key][frame, seed, 30 * seed] = seed
        self.silent.add(key)

    @rule(name=NAMES, label=st.integers(0, 300))
    def add_image(self, name, label):
        if len(self.images) == 4:
            return
        labels = np.full(SHAPE, label, np.uint16 if label > 255 else np.uint8)
        image = ProjectImage("", name, "", ImageAxes("ZYX"), Corrections((2, 40, 300)), SHAPE)
        self.saver.watch(image, lambda: self.layers.get(image.key))
        self.layers[image.key], self.steps[image.key] = labels, []
        self.images[image.key], self.marks[image.key] = image, set()

    @precondition(lambda self: self.images)
    @rule(
        number=st.integers(0, 9),
        frame=st.integers(0, 1),
        row=st.integers(0, 39),
        column=st.integers(0, 299),
        size=st.integers(1, 200),
        label=st.sampled_from([0, 1, 2, 255, 256, 70_000]),
    )
    def paint(self, number, frame, row, column, size, label):
        key = self.any_image(number)
        layer, image = self.layers[key], self.images[key]
        if label > np.iinfo(layer.dtype).max:
            layer = self.layers[key] = layer.astype(np.uint32)
        where = np.s_[frame, row : row + size, column : column + size]
        self.steps[key].append((where, layer[where].copy()))
        layer[where] = label
        box = Box(row, column, min(40, row + size), min(300, column + size))
        self.saver.labels_changed(
            image, (frame, box.top, box.left), (frame + 1, box.bottom, box.right)
        )
        image.corrections = image.corrections.touch(frame, box, by="")
        self.saver.index_changed()
        self.marks[key].add(frame)

    @precondition(lambda self: self.images)
    @rule(number=st.integers(0, 9))
    def undo(self, number):
        key = self.any_image(number)
        if self.steps[key]:
            where, before = self.steps[key].pop()
            self.layers[key][where] = before
            frame, rows, columns = where
            corner = (frame, rows.start, columns.start)
            end = (frame + 1, min(40, rows.stop), min(300, columns.stop))
            self.saver.labels_changed(self.images[key], corner, end)

    @precondition(lambda self: self.images)
    @rule(number=st.integers(0, 9), frame=st.integers(0, 1), accept=st.booleans())
    def accept_or_forget(self, number, frame, accept):
        key = self.any_image(number)
        image = self.images[key]
        corrections = image.corrections
        image.corrections = corrections.accept(frame, "") if accept else corrections.forget(frame)
        (self.marks[key].add if accept else self.marks[key].discard)(frame)
        self.saver.index_changed()

    @rule(name=st.text(max_size=20))
    def name_a_class(self, name):
        self.classes = ("background", name)
        self.project.classes = ClassList(self.classes)
        self.saver.index_changed()

    @precondition(lambda self: self.images)
    @rule(number=st.integers(0, 9))
    def remove_image(self, number):
        key = self.any_image(number)
        self.saver.flush()
        self.project.remove(key)
        for each in (self.layers, self.steps, self.images, self.marks):
            del each[key]

    # ------------------------------------------------------------------ what happens to it
    @rule()
    def save(self):
        named = {self.images[key].name for key in self.silent & set(self.images)}
        assert set(self.saver.compare()) <= named
        assert self.saver.problem == ""
        assert not self.saver.behind
        self.silent.clear()
        self.compare()

    @rule()
    def merge(self):
        self.saver.flush()
        self.project.compact()

    @rule()
    def close_and_open(self):
        assert self.saver.close() == ""
        self.project.close()
        self.open()
        self.compare()

    @rule()
    def crash_after_saving(self):
        self.saver.compare()
        self.project.abandon()
        self.open()
        self.compare()

    @rule(name=st.sampled_from(["lock", "owner.json"]))
    def a_program_removes_the_lock(self, name):
        (self.project.folder / name).unlink(missing_ok=True)
        self.project.check()

    @rule()
    def the_folder_moves_and_comes_back(self):
        elsewhere = self.folder / "elsewhere"
        self.project.folder.rename(elsewhere)
        self.saver.index_changed()
        self.saver.flush()
        assert "moved" in self.saver.problem
        assert not self.project.folder.exists()
        elsewhere.rename(self.project.folder)
        self.saver.flush()
        assert self.saver.problem == ""

    # ------------------------------------------------------------------ what must be true
    def compare(self):
        assert set(self.project.images) == set(self.images)
        assert self.project.classes.class_names == self.classes
        self.project.compact()
        for key, layer in self.layers.items():
            np.testing.assert_array_equal(self.project.labels(key)[:], layer)
            assert set(self.project.images[key].corrections.frames) == self.marks[key]

    @invariant()
    def nothing_lies_outside(self):
        assert {path.name for path in self.folder.iterdir()} <= {"project"}

    def teardown(self):
        if hasattr(self, "project"):
            self.saver.close()
            assert self.saver.compare() == []
            self.project.close()
        shutil.rmtree(self.folder)


ProjectMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_random_sessions = pytest.mark.slow(ProjectMachine.TestCase)
