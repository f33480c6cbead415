"""The panel for correcting: what was done, where to go next, and helpers for the brush."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...annotation import ClassList, known_projects
from ...errors import SegliteError
from ...images import Region
from ..common import ERROR_STYLE, Job, Stop, layers, viewer_region
from .class_row import ClassRow, colours_of, stand_for_classes
from .mask_tools import MaskTools
from .project_row import ProjectRow
from .region_list import RegionList

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...annotation import Candidate
    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

MODES = {"dense": "Whole slices", "scribble": "Scribbles only"}
KEYS = {"accept": "Shift-A", "next": "Shift-N", "back": "Shift-B"}


class CorrectPanel(QWidget):
    """Correct with napari's brush; this panel keeps book.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are corrected.
    tracker : CorrectionTracker
        Marks and saves what is painted.
    result_of : callable
        Returns the segmentation behind a Labels layer, if there is one.

    Signals
    -------
    back_asked()
        The key that goes back to the checkpoint before was pressed.
    """

    back_asked = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        tracker: CorrectionTracker,
        result_of: Callable[[Labels], Segmentation | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.tracker, self._result_of = viewer, tracker, result_of
        self.learning: dict[str, str] = {}
        self._job: Job | None = None
        self._looked: tuple[Any, list[Candidate]] = (None, [])
        self._checkpoint = ""
        self._coloured: WeakKeyDictionary[Labels, Any] = WeakKeyDictionary()
        self._build()
        # Strokes come faster than anybody reads a list.
        self._refresh = QTimer(self)
        self._refresh.setSingleShot(True)
        self._refresh.setInterval(150)
        self._refresh.timeout.connect(self.show_regions)
        self._refresh.timeout.connect(self._show_classes)
        tracker.changed.connect(self._refresh.start)
        tracker.failed.connect(lambda text: self.say(text, error=True))
        if before := known_projects():
            self.say(f"What you corrected last is in {before[0].name}: Open … goes on there.")
        self._layers_changed()

    # ------------------------------------------------------------------ building
    def _build(self) -> None:
        self.image_box = layers.layer_box(Image)
        self.labels_box = layers.layer_box(Labels)
        self.mode_box = QComboBox()
        for name, title in MODES.items():
            self.mode_box.addItem(title, name)
        self.mode_box.setToolTip(
            "Whole slices: all of a slice you paint into counts as right, what you left as it was "
            "included.\nScribbles only: only what you paint counts; label 1 is background, label 2 "
            "the first class."
        )
        self.classes = ClassRow()
        self.project = ProjectRow(self.viewer, self.tracker)
        self.list = RegionList()
        self.accept_button = QPushButton("Accept")
        self.accept_button.setToolTip(f"This slice is right as it is ({KEYS['accept']})")
        self.next_button = QPushButton("Next")
        self.next_button.setToolTip(
            f"Go where a correction teaches most: uncertain, and unlike the others ({KEYS['next']})"
        )
        self.complete_button = QPushButton("Box is complete")
        self.complete_button.setToolTip("Everything inside the drawn rectangle is labelled right")
        self.tools = MaskTools(self.viewer, self.tracked)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())

        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image_box.native)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Learn from", self.mode_box)
        form.addRow("Class", self.classes)
        form.addRow("Project", self.project)
        buttons = QHBoxLayout()
        for button in (self.accept_button, self.next_button, self.complete_button):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.list, 1)
        column.addLayout(buttons)
        column.addWidget(self.tools)
        column.addWidget(self.status)

        self.image_box.changed.connect(self._layers_changed)
        self.labels_box.changed.connect(self._layers_changed)
        self.mode_box.currentIndexChanged.connect(self._on_mode)
        self.classes.chosen.connect(self._on_class)
        self.classes.edited.connect(self._on_described)
        self.project.opened.connect(self._on_opened)
        self.project.said.connect(self.say)
        self.list.chosen.connect(self._go_to)
        self.list.forgotten.connect(self.tracker.forget)
        self.list.taken_out.connect(self._take_out)
        self.accept_button.clicked.connect(self.accept)
        self.next_button.clicked.connect(self.next)
        self.complete_button.clicked.connect(self.complete)
        self.tools.said.connect(self.say)

    # ------------------------------------------------------------------ state
    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence at the bottom."""
        self.status.setText(text)
        self.status.setStyleSheet(ERROR_STYLE if error else "")

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.image_box.reset_choices()
        self.labels_box.reset_choices()
        self._layers_changed()

    def take(self, image: Image, labels: Labels, checkpoint: str) -> None:
        """Offer what was just segmented for correction."""
        self._checkpoint = checkpoint
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, labels

    def tracked(self) -> TrackedLayer | None:
        """Return the chosen layers, if labels fit the image."""
        image, labels = self.image_box.value, self.labels_box.value
        if image is None or labels is None:
            return None
        try:
            if tuple(labels.data.shape) != layers.label_shape(image):
                return None
            known = self.tracker.find(labels)
            if known is None:
                known = self.tracker.follow(image, labels, self._checkpoint)
                self._bind_keys(labels)
                labels.events.selected_label.connect(self._on_label)
                self._adopt(labels)
            return known
        except SegliteError:
            return None

    def _adopt(self, labels: Labels) -> None:
        """Take over the names of several classes from the checkpoint that told them apart."""
        result = self._result_of(labels)
        if result is not None and result.info.classes > 1 and not self.tracker.about.named:
            self.tracker.describe(ClassList(result.info.class_names))

    def _on_label(self, _: Any = None) -> None:
        if (layer := self.labels_box.value) is not None:
            self.classes.select(layer.selected_label)

    def _bind_keys(self, labels: Labels) -> None:
        acts = {"accept": self.accept, "next": self.next, "back": self.back_asked.emit}
        for name, act in acts.items():
            try:
                labels.bind_key(KEYS[name], lambda _, act=act: act())
            except ValueError:  # the user's own key stays theirs
                continue

    def _layers_changed(self, _: Any = None) -> None:
        tracked = self.tracked()
        for button in (self.accept_button, self.next_button, self.complete_button):
            button.setEnabled(tracked is not None)
        self.tools.setEnabled(tracked is not None)
        self.tools.show_stack(layers.is_stack(self.image_box.value))
        if tracked is not None:
            self.mode_box.blockSignals(True)
            self.mode_box.setCurrentIndex(self.mode_box.findData(tracked.entry.corrections.mode))
            self.mode_box.blockSignals(False)
            self._show_classes()
        elif self.labels_box.value is not None and self.image_box.value is not None:
            self.say("These labels do not have the image's size.", error=True)
        self.show_regions()

    def _show_classes(self) -> None:
        """List the classes, and show the labels in their colours where those stand for classes."""
        tracked, about = self.tracked(), self.tracker.about
        scribble = tracked is not None and tracked.entry.corrections.mode == "scribble"
        self.classes.show_classes(about, scribble)
        if tracked is None:
            return
        labels, look = tracked.labels, (about, scribble)
        if stand_for_classes(*look) and self._coloured.get(labels) != look:
            self._coloured[labels] = look
            labels.colormap = colours_of(about, scribble)
        self.classes.select(labels.selected_label)

    def _on_described(self, about: ClassList) -> None:
        self.tracker.describe(about)
        self._show_classes()

    def _on_class(self, label: int) -> None:
        if (tracked := self.tracked()) is not None:
            tracked.labels.selected_label = label

    def _on_mode(self, _: Any = None) -> None:
        tracked, mode = self.tracked(), self.mode_box.currentData()
        if tracked is None or tracked.entry.corrections.mode == mode:
            return
        if mode == "scribble" and not tracked.entry.corrections.regions:
            self._add_scribbles(tracked)
            return
        tracked.entry.corrections = replace(tracked.entry.corrections, mode=mode)
        self.tracker.touched()

    def _add_scribbles(self, tracked: TrackedLayer) -> None:
        """Scribbles go into a layer of their own, where nothing counts that nobody painted."""
        image = tracked.image
        empty = np.zeros(layers.label_shape(image), np.uint8)
        self.tracker.mode = "scribble"
        made = layers.add_labels(self.viewer, image, f"{image.name} scribbles", empty, {})
        made.selected_label = 2
        self.reset_choices()
        self.labels_box.value = made
        self.tracker.mode = "dense"
        self.say("Choose background or an object under Class: a few strokes of each are enough.")

    # ------------------------------------------------------------------ the list
    def show_regions(self) -> None:
        """Bring the list up to date."""
        images = [tracked.entry for tracked in self.tracker.all()]
        chosen = self.tracked()
        predicted: dict[str, list[int]] = {}
        if chosen is not None:
            if chosen.entry not in images:
                images.append(chosen.entry)
            predicted[chosen.entry.key] = self._predicted(chosen)
        if self.tracker.project is not None:
            images += [i for i in self.tracker.project.images.values() if i not in images]
        self.list.show_images(images, predicted, self.learning)
        self.project.show_state()

    def _predicted(self, tracked: TrackedLayer) -> list[int]:
        result = self._result_of(tracked.labels)
        if result is not None:
            return list(result.frames)
        return list(range(tracked.entry.corrections.shape[0]))

    def _go_to(self, key: str, frame: int) -> None:
        for tracked in self.tracker.all():
            if tracked.entry.key == key:
                self.image_box.value, self.labels_box.value = tracked.image, tracked.labels
                self.viewer.layers.selection.active = tracked.labels
        tracked_now = self.tracked()
        if tracked_now is not None and tracked_now.entry.key == key:
            layers.show_frame(self.viewer, tracked_now.image, frame)

    def _take_out(self, key: str) -> None:
        project = self.tracker.project
        if project is None or key not in project.images:
            self.say("This image is not in the project yet: nothing was corrected in it.")
            return
        question = QMessageBox.question(
            self,
            "Take out of the project",
            f"Take {project.images[key].name} out of the project, and delete the labels that were "
            "saved there? Layers in the viewer stay.",
        )
        if question == QMessageBox.StandardButton.Yes:
            self.tracker.take_out(key)
            self.say(f"{key} is no longer in the project.")

    # ------------------------------------------------------------------ going through a stack
    def accept(self) -> None:
        """Mark the current slice as right, and go on to the next."""
        tracked = self.tracked()
        if tracked is None or not self.tracker.begin(tracked):
            return
        frame = layers.current_frame(self.viewer, tracked.image)
        tracked.entry.corrections = tracked.entry.corrections.accept(frame)
        self.tracker.touched()
        self.next()

    def next(self) -> None:
        """Go to what is worth correcting next."""
        tracked = self.tracked()
        if tracked is None or self._job is not None:
            return
        result = self._result_of(tracked.labels)
        if result is None:
            self.say("Segment the image first: then the next slice is the most uncertain one.")
            return
        if self._looked[0] is result:
            self._show_next(tracked, self._looked[1])
            return
        image, corrections = layers.pixels(tracked.image), tracked.entry.corrections
        self.say("Looking for the next slice …")
        self._job = job = Job(lambda stop, gone: _looked(result, image, corrections, gone), self)

        def found(candidates: list[Candidate]) -> None:
            self._looked = result, candidates
            self._show_next(tracked, candidates)

        job.succeeded.connect(found)
        job.failed.connect(lambda text: self.say(text, error=True))
        job.ended.connect(self._on_ended)
        job.start()

    def _on_ended(self) -> None:
        self._job = None

    def _show_next(self, tracked: TrackedLayer, candidates: list[Candidate]) -> None:
        from ...annotation import ranked

        order = ranked(candidates, tracked.entry.corrections)
        if not order:
            self.say("Everything is corrected or accepted.")
            return
        best = order[0]
        layers.show_frame(self.viewer, tracked.image, best.frame, best.box)
        what = f"Slice {best.frame}" if tracked.axes.stacked else "This part"
        self.say(f"{what}: uncertainty {best.uncertainty:.2f}, {len(order)} left.")

    def complete(self) -> None:
        """Mark drawn rectangles as labelled completely; offer to draw one if there is none."""
        tracked = self.tracked()
        if tracked is None:
            return
        drawn = [o for o in self.viewer.layers if isinstance(o, Shapes) and o.nshapes]
        if not drawn:
            shapes = self.viewer.add_shapes(name="complete", ndim=2, face_color="transparent")
            shapes.mode = "add_rectangle"
            self.say("Draw a rectangle around what you labelled completely, then click again.")
            return
        plane = tracked.entry.corrections.shape[1:]
        try:
            text = viewer_region.region(self.viewer, tracked.image, "shapes")
            assert text is not None
            boxes = [Region((polygon,)).box(plane) for polygon in Region.parse(text).polygons]
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        if not self.tracker.begin(tracked):
            return
        frame = layers.current_frame(self.viewer, tracked.image)
        for box in boxes:
            tracked.entry.corrections = tracked.entry.corrections.complete(frame, box)
        self.tracker.touched()
        self.say(f"{len(boxes)} complete box{'es' if len(boxes) > 1 else ''} on this slice.")

    def _on_opened(self, tracked: TrackedLayer) -> None:
        self._bind_keys(tracked.labels)
        self.take(tracked.image, tracked.labels, tracked.entry.checkpoint)
        self.say(f"Opened {tracked.entry.name}.")


def _looked(
    result: Segmentation, image: Any, corrections: Any, gone: Stop
) -> Generator[None, None, list[Candidate]]:
    from ...annotation import candidates

    found: list[Candidate] = []
    for so_far in candidates(result, image, corrections, gone):
        found = so_far
        yield
    return found
