"""The list of images and slices: which are corrected, and which were used in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QContextMenuEvent
from qtpy.QtWidgets import QAction, QMenu, QTreeWidget, QTreeWidgetItem, QWidget

from ...annotation import ProjectImage
from ...images import Corrections
from ..common import colours, forms

COLOURS: dict[str, colours.Role] = {
    "touched": "corrected",
    "accepted": "accepted",
    "complete": "accepted",
    "predicted": "predicted",
}
# What users call the states.
NAMES = {"touched": "corrected"}
PARTLY = "corrected in part"
TIP = (
    "corrected: you painted there, and the outlined area counts as correct\n"
    "accepted: the whole slice is correct as it is\n"
    "complete: everything in a rectangle that you drew is labelled\n"
    "predicted: as the network made it; nothing is learnt from it\n"
    "used, held out: fine-tuning learnt from the slice, or tested the result on it\n"
    "Quality: the Dice to expect of the prediction, 0 to 1, from its probabilities; every slice "
    "that you accept makes it truer, three are good. Look at the lowest first."
)
_STATES = {"corrected": "touched", PARTLY: "touched"}
_CORRECTED = {*_STATES, "accepted", "complete"}
# Longer stacks list only the slices that were corrected.
LONGEST = 300


class RegionList(QTreeWidget):
    """Lists images and slices; a click shows a slice, the context menu removes marks and images.

    Signals
    -------
    chosen(str, int)
        Key of the image, and number of the frame.
    forgotten(str, int)
        The marks of this frame should be removed; its labels stay.
    taken_out(str)
        The image with this key should be removed from the project.
    """

    chosen = Signal(str, int)
    forgotten = Signal(str, int)
    taken_out = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        forms.show_columns(self, "Slice", "State", "Training", "Quality")
        self.setRootIsDecorated(False)
        self.setIndentation(12)
        self.setMinimumHeight(110)
        self.setToolTip(TIP)
        self.itemClicked.connect(self._on_clicked)
        self._content: Any = None

    def show_images(
        self,
        images: Sequence[ProjectImage],
        predicted: Mapping[str, Sequence[int]],
        learning: Mapping[str, str],
        quality: Mapping[str, Mapping[int, float]] | None = None,
    ) -> None:
        """Show images with their corrected frames, and frames that a checkpoint predicted.

        Parameters
        ----------
        images : sequence of ProjectImage
            The images, in the order to show them.
        predicted : mapping
            Numbers of predicted frames by the key of the image.
        learning : mapping
            ``"used"`` or ``"held out"`` by the name of the frame in training.
        quality : mapping, optional
            Expected Dice by frame, by the key of the image.
        """
        known = quality or {}
        rows = [
            self._rows(image, predicted.get(image.key, ()), learning, known.get(image.key, {}))
            for image in images
        ]
        heads = [(image.key, image.name, image.axes.stacked) for image in images]
        content = list(zip(heads, rows, strict=True))
        if content == self._content:
            return  # most strokes do not change the list
        self._content = content
        self.clear()
        for (key, name, stacked), frames in content:
            corrected = sum(state != "predicted" for _, state, *_ in frames)
            top = QTreeWidgetItem([name, f"{corrected} corrected", "", ""])
            top.setData(0, Qt.ItemDataRole.UserRole, (key, frames[0][0] if frames else 0))
            self.addTopLevelItem(top)
            if not stacked:
                _, *texts = frames[0] if frames else (0, "predicted", "", "")
                state = texts[0]
                for column, text in enumerate(texts, start=1):
                    top.setText(column, text)
                colours.tint_item(top, 1, COLOURS[_STATES.get(state, state)])
                continue
            for frame, state, *texts in frames:
                item = QTreeWidgetItem([f"slice {frame}", state, *texts])
                item.setData(0, Qt.ItemDataRole.UserRole, (key, frame))
                colours.tint_item(item, 1, COLOURS[_STATES.get(state, state)])
                top.addChild(item)
            top.setExpanded(True)

    @staticmethod
    def _rows(
        image: ProjectImage,
        predicted: Sequence[int],
        learning: Mapping[str, str],
        quality: Mapping[int, float],
    ) -> list[tuple[int, str, str, str]]:
        corrections = image.corrections
        listed = set(corrections.frames)
        if len(predicted) <= LONGEST:
            listed |= set(predicted)
        stacked = image.axes.stacked
        return [
            (
                frame,
                _state(corrections, frame),
                learning.get(f"{image.key}, slice {frame}" if stacked else image.key, ""),
                f"{quality[frame]:.2f}" if frame in quality else "",
            )
            for frame in sorted(listed)
        ]

    def menu_of(self, item: QTreeWidgetItem) -> QMenu:
        """Return the context menu of a row."""
        key, frame = item.data(0, Qt.ItemDataRole.UserRole)
        menu = QMenu(self)
        is_frame = item.parent() is not None or item.childCount() == 0
        if is_frame and item.text(1) in _CORRECTED:
            forget = QAction("Not corrected: exclude from training", menu)
            forget.triggered.connect(lambda: self.forgotten.emit(key, frame))
            menu.addAction(forget)
        if item.parent() is None:
            remove = QAction("Remove from the project …", menu)
            remove.triggered.connect(lambda: self.taken_out.emit(key))
            menu.addAction(remove)
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Show the context menu of the row under the pointer."""
        if event is not None and (item := self.itemAt(event.pos())) is not None:
            self.menu_of(item).exec(event.globalPos())

    def _on_clicked(self, item: QTreeWidgetItem, _: int) -> None:
        key, frame = item.data(0, Qt.ItemDataRole.UserRole)
        self.chosen.emit(key, frame)


def _state(corrections: Corrections, frame: int) -> str:
    """Return what the list says about a frame."""
    state = corrections.state(frame) or "predicted"
    if state == "touched" and corrections.mode == "dense" and not corrections.whole(frame):
        return PARTLY
    return NAMES.get(state, state)
