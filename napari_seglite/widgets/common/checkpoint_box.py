"""A list of checkpoints to choose from."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

import src_models

from ...checkpoints import CheckpointInfo, CheckpointStore, printable, score_of
from .forms import NarrowComboBox, select

# The id that is selected at first.
DEFAULT = "nuclei-unet-sharp"


class CheckpointBox(NarrowComboBox):
    """Lists the checkpoints of a store; ``currentText`` is the id.

    Parameters
    ----------
    store : CheckpointStore
        `refresh` reads its list again.
    networks : bool
        Whether networks without weights are offered too, to train from scratch.
    """

    def __init__(
        self, store: CheckpointStore, networks: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.store = store
        self._networks = networks
        self.currentIndexChanged.connect(self._show_tip)
        self.refresh()

    def refresh(self, select: str | None = None) -> None:
        """Read the list again and select an id, or keep the selected one."""
        wanted = select or self.checkpoint or DEFAULT
        self.clear()
        for info in self.store.list():
            self.addItem(info.id, info.id)
            tip = plain_tip(f"{info.id}\n{describe_checkpoint(info)}")
            self.setItemData(self.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        if self._networks:
            for name in src_models.names():
                self.addItem(f"{name} (from scratch)", name)
        self.select(wanted)

    def select(self, checkpoint: str) -> None:
        """Select an id if it is in the list."""
        select(self, checkpoint)

    def _show_tip(self, index: int) -> None:
        """Say the whole name, which may be cut, and what it is."""
        self.setToolTip(str(self.itemData(index, Qt.ItemDataRole.ToolTipRole) or ""))

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
