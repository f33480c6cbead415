"""A list of checkpoints to choose from."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

import src_models

from ...checkpoints import (
    CheckpointInfo,
    CheckpointStore,
    ImageFacts,
    Recommendation,
    printable,
    recommend,
    score_of,
)
from .forms import NarrowComboBox, select

# The id that is selected at first.
DEFAULT = "nuclei-unet-sharp"
# Before the id of the checkpoint that is suggested for the image.
MARK = "★ "
# What a checkpoint is, of an entry.
_DESCRIPTION = int(Qt.ItemDataRole.UserRole) + 1


class CheckpointBox(NarrowComboBox):
    """Lists the checkpoints of a store, and marks the one that is suggested for an image.

    Parameters
    ----------
    store : CheckpointStore
        `refresh` reads its list again.
    networks : bool
        Whether networks without weights are offered too, to train from scratch.

    Attributes
    ----------
    suggestion : Recommendation or None
        What is suggested for the image of `suggest`; None if nothing is, or no image is known.

    Signals
    -------
    suggested()
        `suggestion` may have changed. The selection never changes by itself.
    """

    suggested = Signal()

    def __init__(
        self, store: CheckpointStore, networks: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.store = store
        self._networks = networks
        self._facts: ImageFacts | None = None
        self.suggestion: Recommendation | None = None
        self._places: dict[str, Recommendation] = {}
        self.explanation = ""
        self.currentIndexChanged.connect(self._show_tip)
        self.refresh()

    def refresh(self, select: str | None = None) -> None:
        """Read the list again and select an id, or keep the selected one."""
        wanted = select or self.checkpoint or DEFAULT
        self.clear()
        self._infos = self.store.list()
        self._own = [info.id for info in self._infos if not self.store.is_built_in(info.id)]
        for info in self._infos:
            self.addItem(info.id, info.id)
            text = f"{info.id}\n{describe_checkpoint(info)}"
            if self._networks and info.obstacle:
                text += f"\nCannot be fine-tuned: {printable(info.obstacle, longest=300)}."
            self.setItemData(self.count() - 1, text, _DESCRIPTION)
        if self._networks:
            for name in src_models.names():
                self.addItem(f"{name} (from scratch)", name)
        self.select(wanted)
        self._mark()

    def select(self, checkpoint: str) -> None:
        """Select an id if it is in the list."""
        select(self, checkpoint)

    def suggest(self, facts: ImageFacts | None) -> None:
        """Mark the checkpoint to try first on an image, and say of each why it has its place."""
        if facts != self._facts:
            self._facts = facts
            self._mark()

    @property
    def better(self) -> Recommendation | None:
        """What is suggested, if the selected checkpoint has a lower place for the image."""
        selected = self._places.get(self.checkpoint)
        if self.suggestion is None or selected is None:
            return None
        return self.suggestion if self.suggestion.place < selected.place else None

    def _mark(self) -> None:
        facts = self._facts
        listed = [] if facts is None else recommend(facts, self._infos, self._own)
        self.suggestion = next((each for each in listed[:1] if each.fits), None)
        self._places = {each.checkpoint: each for each in listed}
        for index in range(self.count()):
            if self.itemData(index, _DESCRIPTION):  # else it is a network without weights
                self._mark_entry(index)
        self._show_tip(self.currentIndex())
        self.suggested.emit()

    def _mark_entry(self, index: int) -> None:
        name, text = str(self.itemData(index)), str(self.itemData(index, _DESCRIPTION))
        found = self._places.get(name)
        is_first = found is not None and found is self.suggestion
        self.setItemText(index, f"{MARK}{name}" if is_first else name)
        if found is not None:
            text += f"\n\n{MARK}Suggested for this image. " if is_first else "\n\n"
            text += found.reason
        self.setItemData(index, plain_tip(text), Qt.ItemDataRole.ToolTipRole)

    def _show_tip(self, index: int) -> None:
        """Say the whole name, which may be cut, what it is, and what the list is for."""
        chosen = str(self.itemData(index, Qt.ItemDataRole.ToolTipRole) or "")
        self.setToolTip(f"{chosen}{plain_tip(self.explanation)}" if self.explanation else chosen)

    def explain(self, text: str) -> None:
        """Say in the tooltip what the list is for."""
        self.explanation = text
        self._show_tip(self.currentIndex())

    @property
    def checkpoint(self) -> str:
        """The selected id, or an empty string."""
        return str(self.currentData() or "")


def describe_checkpoint(info: CheckpointInfo) -> str:
    """Return a line about a checkpoint: purpose, network, Dice and parent."""
    parts = [info.description, src_models.card(info.network).title]
    if (score := score_of(info)) is not None:
        parts.append(str(score))
    if info.parent:
        parts.append(f"from {info.parent}")
    return printable(" · ".join(part.rstrip(".") for part in parts if part), longest=600)


def plain_tip(text: str) -> str:
    """Return a tooltip that shows a text from a file as it is; Qt takes some texts for HTML."""
    return f'<p style="white-space: pre-wrap">{escape(text)}</p>'
