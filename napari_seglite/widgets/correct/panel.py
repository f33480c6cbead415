"""The panel for correcting: corrected slices, classes, tools for masks, and the next slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QMessageBox, QPushButton, QVBoxLayout, QWidget

from ...annotation import ClassList, known_projects
from ...errors import SegliteError
from ...images import Region
from ..common import StatusLabel, forms, layers, viewer_region
from .class_row import ClassRow, colours_of, stand_for_classes
from .mask_tools import MaskTools
from .next_slice import NextSlice
from .project_row import ProjectRow
from .region_list import RegionList

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...images import Mode
    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

MODES: dict[Mode, str] = {"dense": "Whole slices", "scribble": "Scribbles only"}
KEYS = {"accept": "Shift-A", "next": "Shift-N", "back": "Shift-B"}


class CorrectPanel(QWidget):
    """Correct with napari's brush; this panel keeps track of the corrected slices.

    Parameters
    ----------
    viewer : ViewerModel
        Its layers are corrected.
    tracker : CorrectionTracker
        Marks and saves corrections.
    segmentation_of : callable
        Returns the segmentation that a Labels layer shows, or None.

    Signals
    -------
    back_asked()
        The key that goes back to the previous checkpoint was pressed.
    """

    back_asked = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        tracker: CorrectionTracker,
        segmentation_of: Callable[[Labels], Segmentation | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.tracker, self._segmentation_of = viewer, tracker, segmentation_of
        self.learning: dict[str, str] = {}
        self._checkpoint = ""
        self._bound: WeakKeyDictionary[Labels, list[str]] = WeakKeyDictionary()
        self._coloured: WeakKeyDictionary[Labels, Any] = WeakKeyDictionary()
        self.next_slice = NextSlice(self, viewer)
        self._build()
        self._connect()
        # Strokes come faster than a list can be read.
        self._refresh = QTimer(self)
        self._refresh.setSingleShot(True)
        self._refresh.setInterval(150)
        self._refresh.timeout.connect(self.show_regions)
        self._refresh.timeout.connect(self._show_classes)
        tracker.changed.connect(self._refresh.start)
        if projects := known_projects():
            self.say(f"Your last corrections are in {projects[0].name}. To continue, click Open …")
        self._layers_changed()

    def _build(self) -> None:
        self.image_box = forms.layer_box(self.viewer, Image)
        self.labels_box = forms.layer_box(self.viewer, Labels)
        self.mode_box = forms.combo(
            MODES,
            "Whole slices: once you paint into a slice, all of its pixels count as correct.\n"
            "Scribbles only: only painted pixels count; label 1 is background, label 2 the "
            "first class.",
        )
        self.classes = ClassRow()
        self.project = ProjectRow(self.viewer, self.tracker)
        self.list = RegionList()
        self.accept_button, self.next_button = QPushButton("Accept"), QPushButton("Next")
        self.complete_button = QPushButton("Box is complete")
        self.accept_button.setToolTip(f"This slice is correct as it is ({KEYS['accept']})")
        self.next_button.setToolTip(
            f"Go to an uncertain slice that is unlike the corrected ones; again for another "
            f"({KEYS['next']})"
        )
        self.complete_button.setToolTip("Every pixel inside the drawn rectangle is correct")
        self.tools = MaskTools(self.viewer, self.tracked)
        self.status = StatusLabel()
        form = forms.form_layout()
        form.addRow("Image", self.image_box.native)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Learn from", self.mode_box)
        form.addRow("Class", self.classes)
        form.addRow("Project", self.project)
        buttons = self._buttons = self.accept_button, self.next_button, self.complete_button
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.list, 1)
        column.addLayout(forms.side_by_side(*buttons))
        column.addWidget(self.tools)
        column.addWidget(self.status)

    def _connect(self) -> None:
        self.image_box.changed.connect(self._layers_changed)
        self.labels_box.changed.connect(self._layers_changed)
        self.mode_box.currentIndexChanged.connect(self._on_mode)
        self.classes.chosen.connect(self._on_class)
        self.classes.edited.connect(self._on_class_list)
        self.project.opened.connect(self._on_opened)
        self.list.chosen.connect(self._go_to)
        self.list.forgotten.connect(self.tracker.forget)
        self.list.taken_out.connect(self._remove_image)
        self.accept_button.clicked.connect(self.accept)
        self.next_button.clicked.connect(self.next)
        self.complete_button.clicked.connect(self.complete)
        for source in (self.project, self.tools, self.next_slice):
            source.said.connect(self.say)
        self.tracker.failed.connect(lambda text: self.say(text, error=True))

    # ------------------------------------------------------------------ state
    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence at the bottom, errors in red."""
        self.status.say(text, error)

    def shut(self) -> None:
        """Leave the layers' keys and events alone; see `SegliteDock.shut`."""
        self._refresh.stop()
        self.tracker.changed.disconnect(self._refresh.start)
        for labels, keys in self._bound.items():
            labels.events.selected_label.disconnect(self._on_label)
            for key in keys:
                labels.bind_key(key, None, overwrite=True)
        self._bound.clear()

    def may_close(self) -> bool:
        """Save everything, or ask what to do; returns whether the window may close."""
        return self.project.may_close()

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.image_box.reset_choices()
        self.labels_box.reset_choices()
        self._layers_changed()

    def offer(self, image: Image, labels: Labels, checkpoint: str) -> None:
        """Choose layers to correct.

        Parameters
        ----------
        image, labels : napari layer
            The layers.
        checkpoint : str
            Id of the checkpoint that predicted the labels.
        """
        self._checkpoint = checkpoint
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, labels
        if (tracked := self.tracked()) is not None:
            tracked.entry.checkpoint = checkpoint

    def tracked(self) -> TrackedLayer | None:
        """Return the chosen layers, or None if the labels do not fit the image."""
        image, labels = self.image_box.value, self.labels_box.value
        if image is None or labels is None:
            return None
        try:
            unfit = tuple(labels.data.shape) != layers.label_shape(image)
            if unfit or layers.mirrored_axes(labels, image):
                return None
            tracked = self.tracker.find(labels)
            if tracked is None:
                tracked = self.tracker.follow(image, labels, self._checkpoint)
                self._bind_keys(labels)
                self._adopt_classes(labels)
            return tracked
        except SegliteError:
            return None

    def _adopt_classes(self, labels: Labels) -> None:
        """Take the names of several classes from the checkpoint that predicted them."""
        result = self._segmentation_of(labels)
        if result is not None and result.info.classes > 1 and not self.tracker.class_list.named:
            self.tracker.set_class_list(ClassList(result.info.class_names))

    def _bind_keys(self, labels: Labels) -> None:
        labels.events.selected_label.connect(self._on_label)
        keys = self._bound.setdefault(labels, [])
        acts = {"accept": self.accept, "next": self.next, "back": self.back_asked.emit}
        for name, act in acts.items():
            try:
                labels.bind_key(KEYS[name], lambda _, act=act: act())
                keys.append(KEYS[name])
            except ValueError:  # the user bound this key to something else
                continue

    def _layers_changed(self, _: Any = None) -> None:
        tracked = self.tracked()
        for widget in (*self._buttons, self.tools):
            widget.setEnabled(tracked is not None)
        self.tools.show_stack(layers.is_stack(self.image_box.value))
        if tracked is not None:
            self.mode_box.blockSignals(True)
            forms.select(self.mode_box, tracked.entry.corrections.mode)
            self.mode_box.blockSignals(False)
            self._show_classes()
        elif self.labels_box.value is not None and self.image_box.value is not None:
            self.say("These labels do not have the size of the image, or lie mirrored.", error=True)
        self.show_regions()

    # ------------------------------------------------------------------ classes
    def _show_classes(self) -> None:
        """List the classes, and colour labels that stand for classes."""
        tracked, class_list = self.tracked(), self.tracker.class_list
        scribble = tracked is not None and tracked.entry.corrections.mode == "scribble"
        self.classes.show_classes(class_list, scribble)
        if tracked is None:
            return
        labels, colouring = tracked.labels, (class_list, scribble)
        if stand_for_classes(*colouring) and self._coloured.get(labels) != colouring:
            self._coloured[labels] = colouring
            labels.colormap = colours_of(*colouring)
        self.classes.select(labels.selected_label)

    def _on_label(self, _: Any = None) -> None:
        if (layer := self.labels_box.value) is not None:
            self.classes.select(layer.selected_label)

    def _on_class_list(self, class_list: ClassList) -> None:
        self.tracker.set_class_list(class_list)
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
        self.tracker.mark_changed()

    def _add_scribbles(self, tracked: TrackedLayer) -> None:
        """Add a layer of its own for scribbles, in which nothing counts but paint."""
        image = tracked.image
        empty = np.zeros(layers.label_shape(image), np.uint8)
        self.tracker.mode = "scribble"
        scribbles = layers.add_labels(self.viewer, image, f"{image.name} scribbles", empty, {})
        scribbles.selected_label = 2
        self.reset_choices()
        self.labels_box.value = scribbles
        self.tracker.mode = "dense"
        self.say("Choose background or an object under Class. A few strokes of each are enough.")

    # ------------------------------------------------------------------ the list
    def show_regions(self) -> None:
        """Bring the list up to date."""
        images = [tracked.entry for tracked in self.tracker.corrected()]
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
        result = self._segmentation_of(tracked.labels)
        if result is not None:
            return list(result.frames)
        return list(range(tracked.entry.corrections.shape[0]))

    def _go_to(self, key: str, frame: int) -> None:
        for tracked in self.tracker.corrected():
            if tracked.entry.key == key:
                self.image_box.value, self.labels_box.value = tracked.image, tracked.labels
                self.viewer.layers.selection.active = tracked.labels
        chosen = self.tracked()
        if chosen is not None and chosen.entry.key == key:
            layers.show_frame(self.viewer, chosen.image, frame)

    def _remove_image(self, key: str) -> None:
        project = self.tracker.project
        if project is None or key not in project.images:
            self.say("This image is not in the project yet: nothing was corrected in it.")
            return
        question = QMessageBox.question(
            self,
            "Remove from the project",
            f"Remove {project.images[key].name} from the project and delete its saved labels? "
            "Layers in the viewer stay.",
        )
        if question == QMessageBox.StandardButton.Yes:
            self.tracker.remove_image(key)
            self.say(f"{key} is no longer in the project.")

    # ------------------------------------------------------------------ going through a stack
    @property
    def busy(self) -> bool:
        """Whether the next slice is being searched for."""
        return self.next_slice.busy

    def accept(self) -> None:
        """Mark the current slice as correct, and go to the next."""
        tracked = self.tracked()
        if tracked is None or not self.tracker.register(tracked):
            return
        frame = layers.current_frame(self.viewer, tracked.image)
        tracked.entry.corrections = tracked.entry.corrections.accept(frame, self.tracker.author)
        self.tracker.mark_changed()
        done = f"Slice {frame} is accepted." if tracked.axes.stacked else "Accepted."
        self.say(done)
        self._show_next(tracked, done)

    def next(self) -> None:
        """Go to the slice that is worth correcting next."""
        if (tracked := self.tracked()) is not None:
            self._show_next(tracked)

    def _show_next(self, tracked: TrackedLayer, done: str = "") -> None:
        result = self._segmentation_of(tracked.labels)
        if self.busy:
            return
        if result is None:
            self.say(f"{done} Segment the image to be shown what is most uncertain.".strip())
        else:
            self.next_slice.show(tracked, result, done)

    def complete(self) -> None:
        """Mark drawn rectangles as completely labelled; offer to draw one if there is none."""
        tracked = self.tracked()
        if tracked is None:
            return
        if not any(isinstance(layer, Shapes) and layer.nshapes for layer in self.viewer.layers):
            shapes = self.viewer.add_shapes(name="complete", ndim=2, face_color="transparent")
            shapes.mode = "add_rectangle"
            self.say("Draw a rectangle around the completely labelled part, then click again.")
            return
        plane = tracked.entry.corrections.shape[1:]
        try:
            text = viewer_region.viewed_region(self.viewer, tracked.image, "shapes")
            assert text is not None
            boxes = [Region((polygon,)).box(plane) for polygon in Region.parse(text).polygons]
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        if not self.tracker.register(tracked):
            return
        frame = layers.current_frame(self.viewer, tracked.image)
        for box in boxes:
            tracked.entry.corrections = tracked.entry.corrections.complete(
                frame, box, self.tracker.author
            )
        self.tracker.mark_changed()
        self.say(f"{len(boxes)} complete box{'es' if len(boxes) > 1 else ''} on this slice.")

    def _on_opened(self, tracked: TrackedLayer) -> None:
        self._bind_keys(tracked.labels)
        self.offer(tracked.image, tracked.labels, tracked.entry.checkpoint)
        self.say(f"Opened {tracked.entry.name}.")
