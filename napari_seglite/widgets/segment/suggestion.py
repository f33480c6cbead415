"""Suggests a checkpoint for the chosen image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QObject

from ..common import image_facts

if TYPE_CHECKING:
    from napari.layers import Image

    from ...inference import ObjectSize
    from ..common import CorrectionTracker
    from .form import SegmentForm


class ImageSuggestion(QObject):
    """Keeps the suggestion of a form true to its image, its device and the project.

    Parameters
    ----------
    form : SegmentForm
        Its checkpoints are marked.
    tracker : CorrectionTracker
        Knows the project.
    """

    def __init__(self, form: SegmentForm, tracker: CorrectionTracker) -> None:
        super().__init__(form)
        self._form, self._tracker = form, tracker
        # The image whose objects were measured last, which may be gone by now, and their width.
        self._measured: tuple[ref[Image], float] | None = None
        form.image_changed.connect(self.refresh)
        form.device_box.currentIndexChanged.connect(self.refresh)
        tracker.changed.connect(self.refresh)
        self.refresh()

    def measured(self, image: Image, size: ObjectSize | None) -> None:
        """Take the size of an image's objects into account; None if there were none."""
        self._measured = ref(image), 0.0 if size is None else size.diameter
        self.refresh()

    def refresh(self, _: Any = None) -> None:
        """Suggest again."""
        form, image, diameter = self._form, self._form.image, None
        if self._measured is not None and self._measured[0]() is image:
            diameter = self._measured[1]
        devices = form.device_box
        # The fastest comes after "auto"; as long as that is not known, it may be slow.
        device = devices.itemText(1) if devices.currentIndex() < 1 else devices.currentText()
        facts = None
        if image is not None:
            facts = image_facts(image, self._tracker, device, diameter)
        form.checkpoint_box.suggest(facts)
