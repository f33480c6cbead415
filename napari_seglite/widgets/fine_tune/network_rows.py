"""What the network of the chosen start can be, and what its loss consists of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLabel, QPushButton, QWidget

import src_models
from src_models import NetworkCard, NetworkOption, vgg16_file

from ...checkpoints import CheckpointStore
from ...errors import CheckpointError
from ...training import RecipeName
from ..common import CheckpointBox, forms, preferences

_LOSSNET = "LossNet"


class NetworkRows(QWidget):
    """The terms of the loss; above it in a form, a list for every option of a new network.

    Parameters
    ----------
    store : CheckpointStore
        Knows the networks of checkpoints.
    box : CheckpointBox
        The chosen start.
    """

    def __init__(self, store: CheckpointStore, box: CheckpointBox) -> None:
        super().__init__()
        self.setToolTip("The network that is trained, and the loss that training makes smaller")
        self._store, self._box = store, box
        self._choices: dict[str, QComboBox] = {}
        self._rows: QFormLayout | None = None
        self.recipe = forms.combo(
            {"ours": "suggested", "authors": "the authors'"},
            "How the network is trained. The authors' recipe for M2SNet: SGD with momentum, a "
            "tenth of the rate for the backbone, 16 large patches a step that change their size "
            "from step to step, small rotations. It is meant for hundreds of images and a GPU; "
            "with a few slices the suggested way learns more in a minute",
        )
        self.loss = QLabel()
        self.loss.setWordWrap(True)
        self.vgg16 = QPushButton("VGG-16 …")
        self.vgg16.setToolTip(
            f"Choose the file {vgg16_file.PUBLISHED}, VGG-16's ImageNet weights. With it M2SNet "
            "also learns from LossNet: prediction and labels are to have the same features in "
            "VGG-16, which gives whole shapes and clean borders and makes a step slower. Cancel "
            "to train without it. Kept for the next session"
        )
        self.vgg16.clicked.connect(self._ask)
        row = forms.side_by_side(self.loss, self.vgg16, stretches=(1, 0))
        row.setContentsMargins(0, 0, 0, 0)
        self.setLayout(row)
        vgg16_file.choose(preferences.load({"vgg16": ""})["vgg16"])
        box.currentIndexChanged.connect(self._show)

    def add_to(self, rows: QFormLayout) -> None:
        """Add this, and the lists of options, to a form."""
        self._rows = rows
        rows.addRow("Recipe", self.recipe)
        rows.addRow(self)
        self._show()

    @property
    def options(self) -> dict[str, Any] | None:
        """The chosen options of a network that starts from scratch; None of a checkpoint."""
        return {name: box.currentData() for name, box in self._choices.items()} or None

    @property
    def chosen_recipe(self) -> RecipeName:
        """How to train: ``"ours"``, unless the authors' recipe is there and chosen."""
        card = self._card()
        if card is None or card.recipe is None:
            return "ours"
        recipe: RecipeName = self.recipe.currentData()
        return recipe

    def choose(self, option: str, value: Any) -> None:
        """Select a value of an option."""
        forms.select(self._choices[option], value)

    def _show(self, _: int = 0) -> None:
        card, scratch = self._card(), self._box.checkpoint in src_models.names()
        options = card.options or () if card is not None and scratch else ()
        self._show_options([o for o in options if o.title and o.values])
        rows = self._rows
        assert rows is not None
        rows.setRowVisible(self.recipe, card is not None and card.recipe is not None)
        self._show_loss()

    def _show_options(self, options: Sequence[NetworkOption]) -> None:
        rows = self._rows
        assert rows is not None
        for box in self._choices.values():
            rows.removeRow(box)
        self._choices = {}
        for option in options:
            texts = option.texts or map(str, option.values)
            box = forms.combo(dict(zip(option.values, texts, strict=True)), option.tip)
            if option.first is not None:
                forms.select(box, option.first)
            self._choices[option.name] = box
            own_row, _ = rows.getWidgetPosition(self.recipe)
            assert own_row is not None
            rows.insertRow(own_row, option.title, box)

    def _card(self) -> NetworkCard | None:
        """Return the card of the network that is trained, if a start is chosen."""
        start = self._box.checkpoint
        if start in src_models.names():
            return src_models.card(start)
        with suppress(CheckpointError):
            return src_models.card(self._store.info(start).network)
        return None

    def _show_loss(self) -> None:
        card = self._card()
        terms = "" if card is None else card.loss
        needs_file, path = _LOSSNET in terms, vgg16_file.chosen()
        note = ""
        if needs_file and path is None:
            note = " (LossNet is off: it needs VGG-16's weights)"
        elif needs_file and path is not None and not path.is_file():
            note = f" (LossNet is off: there is no file {path})"
        self.loss.setText(f"Loss: {terms}{note}" if terms else "")
        self.loss.setToolTip(
            "What training makes smaller: the loss of the network's paper. BCE, binary "
            "cross-entropy: errors pixel by pixel. Dice and IoU: overlap with the labels. MS-SSIM: "
            "structure at several scales. BCE of presence: whether a class is in the image at all"
        )
        self.vgg16.setVisible(needs_file)

    def _ask(self) -> None:
        title = "VGG-16's weights for LossNet"
        found, _ = QFileDialog.getOpenFileName(self, title, "", "Weights (*.pth *.pt);;All (*)")
        self.use(found)

    def use(self, path: str | Path) -> None:
        """Learn with LossNet from a file of weights, or without it if the path is empty."""
        vgg16_file.choose(path)
        preferences.save({"vgg16": str(path)})
        self._show_loss()
