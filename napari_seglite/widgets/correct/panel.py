"""The panel for correcting: corrected slices, classes, tools for masks, and the next slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QMessageBox, QVBoxLayout, QWidget
from superqt import QCollapsible

from ...annotation import ClassList, known_projects
from ...errors import SegliteError
from ..common import StatusLabel, forms, keys, layers
from .class_row import ClassRow, colours_of, stand_for_classes
from .mask_tools import MaskTools
from .object_queue import ObjectQueue
from .object_tools import LISTED as OF_OBJECTS
from .object_tools import ObjectTools
from .outline import CorrectedOutline
from .project_row import ProjectRow
from .region_list import RegionList
from .scribbles import FirstSteps, add_scribbles
from .slice_buttons import SliceButtons
from .slice_quality import SliceQuality

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...images import Mode
    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

Counts = Literal["around", "whole", "scribble"]
COUNTS: dict[Counts, str] = {
    "around": "Around strokes",
    "whole": "Whole slices",
    "scribble": "Scribbles only",
}
LISTED = {
    keys.SEGMENT: "segment, or segment again",
    keys.NEXT: "next slice worth correcting",
    keys.ACCEPT: "accept this slice",
    keys.NEXT_OBJECT: "next object to look at",
    keys.ASK: "find objects to split or merge",
    f"{keys.YES}  {keys.NO}  {keys.SKIP}": "yes, no, skip",
    keys.FINE_TUNE: "fine-tune, or continue",
    keys.BEFORE: "labels before the last segmentation",
    keys.BACK: "back to the checkpoint before",
    **OF_OBJECTS,
    "1  2  3": "erase, paint, outline",
    "4  5": "fill, pick an object",
    "M": "new object",
    "[  ]": "smaller, larger brush",
    "Ctrl+Z": "undo",
}


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
    live_asked(object, object)
        Scribbles in this Labels layer on this image should be learnt live.
    """

    back_asked = Signal()
    live_asked = Signal(object, object)

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
        self._checkpoint = self._error = ""
        self._bound: WeakKeyDictionary[Labels, list[str]] = WeakKeyDictionary()
        self._coloured: WeakKeyDictionary[Labels, Any] = WeakKeyDictionary()
        self._build()
        self._connect()
        # Strokes come faster than a list can be read.
        self._refresh = QTimer(self)
        self._refresh.setSingleShot(True)
        self._refresh.setInterval(150)
        self._refresh.timeout.connect(self.show_regions)
        self._refresh.timeout.connect(self._show_classes)
        # Not while napari is adding or removing a layer: this adds and removes one, too.
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self._show_outline)
        tracker.changed.connect(self._refresh.start)
        self.quality.changed.connect(self._refresh.start)
        if projects := known_projects():
            self.say(f"Your last corrections are in {projects[0].name}. To continue, click Open …")
        self._layers_changed()

    def _build(self) -> None:
        self.image_box = forms.layer_box(self.viewer, Image, tip="The image to correct labels of")
        self.labels_box = forms.layer_box(
            self.viewer, Labels, tip="The labels to correct; of the image's size"
        )
        self.mode_box = forms.combo(
            COUNTS,
            "What counts as correct, and is learnt, when you paint.\n"
            "Around strokes: the outlined area near them, a few objects wide.\n"
            "Whole slices: all of a slice that you paint in, so correct all of its errors.\n"
            "Scribbles only: painted pixels alone; label 1 is background, label 2 the first "
            "class.\n"
            "Accept makes a whole slice count in any case.",
        )
        self.classes = ClassRow()
        self.project = ProjectRow(self.viewer, self.tracker)
        self.list = RegionList()
        acts_on = self.viewer, self.tracker, self.tracked, self._segmentation_of
        self.slices, self.queue = SliceButtons(*acts_on), ObjectQueue(*acts_on)
        self.quality = SliceQuality(self)
        self.first_steps, self.outline = FirstSteps(), CorrectedOutline(self.viewer)
        self.outline_box = QCheckBox("Outline what counts as correct")
        self.outline_box.setChecked(True)
        self.outline_box.setToolTip(
            "Orange: around your strokes. Green: accepted, or drawn as complete"
        )
        self.tools = MaskTools(self.viewer, self.tracked)
        self.objects = ObjectTools(self.viewer, self.tracker, self.tracked, self._segmentation_of)
        self.keys, self.status = QCollapsible("Keys"), StatusLabel()
        listed = QLabel(_table(LISTED))
        listed.setWordWrap(True)
        self.keys.addWidget(listed)
        form = forms.form_layout()
        form.addRow("Image", self.image_box.native)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Learn from", self.mode_box)
        form.addRow("Class", self.classes)
        form.addRow("Project", self.project)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.first_steps)
        column.addWidget(self.list, 1)
        column.addWidget(self.outline_box)
        column.addWidget(self.slices)
        column.addWidget(self.queue)
        column.addWidget(self.objects)
        column.addWidget(self.tools)
        column.addWidget(self.status)
        column.addWidget(self.keys)

    def _connect(self) -> None:
        self.image_box.changed.connect(self._on_chosen)
        self.labels_box.changed.connect(self._on_chosen)
        self.mode_box.currentIndexChanged.connect(self._on_mode)
        self.outline_box.toggled.connect(lambda _: self._redraw.start())
        self.first_steps.asked.connect(self._scribble_live)
        self.classes.chosen.connect(self._on_class)
        self.classes.edited.connect(self._on_class_list)
        self.project.opened.connect(self._on_opened)
        self.list.chosen.connect(self._go_to)
        self.list.forgotten.connect(self.tracker.forget)
        self.list.taken_out.connect(self._remove_image)
        for source in (self.project, self.tools, self.objects, self.slices, self.queue):
            source.said.connect(self.say)
        self.tracker.failed.connect(lambda text: self.say(text, error=True))

    # ------------------------------------------------------------------ state
    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence at the bottom, errors in red."""
        self.status.say(text, error)
        self._error = text if error else ""

    def shut(self) -> None:
        """Leave the layers' keys and events alone; see `SegliteDock.shut`."""
        self._refresh.stop()
        self._redraw.stop()
        self.outline.remove()
        self.queue.stop_asking()
        self.objects.put_down()
        self.tracker.changed.disconnect(self._refresh.start)
        for labels, bound in self._bound.items():
            labels.events.selected_label.disconnect(self._on_label)
            for key in bound:
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
        bound = self._bound.setdefault(labels, [])
        acts = {
            keys.ACCEPT: self.slices.accept,
            keys.NEXT: self.slices.next,
            keys.BACK: self.back_asked.emit,
            **self.queue.keys,
            **self.objects.acts,
        }
        for key, act in acts.items():
            try:
                labels.bind_key(key, lambda _, act=act: act())
                bound.append(key)
            except ValueError:  # the user bound this key to something else
                continue

    def _on_chosen(self, _: Any = None) -> None:
        if self._error and self.status.text() == self._error:
            self.say("")  # it was about the layers before
        self._layers_changed()

    def _layers_changed(self, _: Any = None) -> None:
        tracked = self.tracked()
        for widget in (self.slices, self.queue, self.objects, self.tools):
            widget.setEnabled(tracked is not None)
        self.objects.follow(tracked)
        self.tools.show_stack(layers.is_stack(self.image_box.value))
        self.first_steps.show_for(self.image_box.value, self.labels_box.value is not None)
        if tracked is not None:
            self.mode_box.blockSignals(True)
            forms.select(self.mode_box, _counts(tracked))
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
        tracked, counts = self.tracked(), self.mode_box.currentData()
        if tracked is None or _counts(tracked) == counts:
            return
        corrections = tracked.entry.corrections
        if counts == "scribble" and not corrections.regions:
            self._add_scribbles(tracked.image)
            return
        tracked.whole = counts == "whole"
        mode: Mode = "scribble" if counts == "scribble" else "dense"
        tile = 0 if tracked.whole else tracked.tile()
        tracked.entry.corrections = replace(corrections, mode=mode, tile=tile)
        self.tracker.mark_changed()

    def _add_scribbles(self, image: Image) -> Labels:
        scribbles = add_scribbles(self.viewer, self.tracker, image)
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, scribbles
        self.say("Choose background or an object under Class. A few strokes of each are enough.")
        return scribbles

    def _scribble_live(self) -> None:
        """Begin without a mask: scribbles that are learnt as they are painted."""
        image = self.image_box.value
        try:
            scribbles = self._add_scribbles(image)
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        self.say(
            "Paint some background (label 1) and some objects (label 2): the prediction follows. "
            "Fine-tune has a button to stop and keep it."
        )
        self.live_asked.emit(image, scribbles)

    # ------------------------------------------------------------------ the list
    def show_regions(self) -> None:
        """Bring the list up to date."""
        images = [tracked.entry for tracked in self.tracker.corrected()]
        chosen = self.tracked()
        predicted: dict[str, list[int]] = {}
        quality: dict[str, Mapping[int, float]] = {}
        if chosen is not None:
            if chosen.entry not in images:
                images.append(chosen.entry)
            predicted[chosen.entry.key] = self._predicted(chosen)
            result = self._segmentation_of(chosen.labels)
            quality[chosen.entry.key] = self.quality.of(chosen, result)
        if self.tracker.project is not None:
            images += [i for i in self.tracker.project.images.values() if i not in images]
        self.list.show_images(images, predicted, self.learning, quality)
        self._redraw.start()
        self.project.show_state()

    def _show_outline(self) -> None:
        self.outline.show(self.tracked() if self.outline_box.isChecked() else None)

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

    # ------------------------------------------------------------------ the rest
    @property
    def busy(self) -> bool:
        """Whether the next slice or object is being searched for."""
        return self.slices.busy or self.queue.busy

    def _on_opened(self, tracked: TrackedLayer) -> None:
        self._bind_keys(tracked.labels)
        self.offer(tracked.image, tracked.labels, tracked.entry.checkpoint)
        self.say(f"Opened {tracked.entry.name}.")


def _table(rows: dict[str, str]) -> str:
    """Return rows as rich text."""
    cells = (
        f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{act}</td></tr>" for key, act in rows.items()
    )
    return f"With the pointer in the image:<table>{''.join(cells)}</table>"


def _counts(tracked: TrackedLayer) -> Counts:
    """Return what counts as correct when the user paints."""
    corrections = tracked.entry.corrections
    if corrections.mode == "scribble":
        return "scribble"
    whole = corrections.tile == 0 if corrections.regions else tracked.whole
    return "whole" if whole else "around"
