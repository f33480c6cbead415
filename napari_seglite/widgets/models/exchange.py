"""Asking how to write a checkpoint for other programs, and whether to trust their models."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from ...checkpoints import CheckpointInfo, CheckpointStore, printable
from ...exchange import FORMATS, UntrustedCodeError, export_model, import_model
from ..common import StopSignal

EXPORTING = "Writing {name}, and comparing what it computes; a minute or two …"


@dataclass(frozen=True)
class Choice:
    """What a checkpoint is written as, and where.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    file : Path
        The file to write.
    authors : tuple of str
        Of a package.
    licence : str
        Of a package, an SPDX identifier.
    """

    format: str
    file: Path
    authors: tuple[str, ...] = ()
    licence: str = ""


def ask_export(parent: QWidget, name: str, store: CheckpointStore) -> Choice | None:
    """Ask for format and file, and for a package of the user's own also who made it."""
    title = "Export model"
    titles = [kind.title for kind in FORMATS.values()]
    chosen, ok = QInputDialog.getItem(parent, title, "For other programs as:", titles, 0, False)
    if not ok:
        return None
    format = list(FORMATS)[titles.index(chosen)]
    authors: tuple[str, ...] = ()
    licence = ""
    if format == "bioimageio" and not store.is_built_in(name):
        who, ok = QInputDialog.getText(parent, title, "Authors, with commas between them:")
        if not ok:
            return None
        authors = tuple(part.strip() for part in who.split(",") if part.strip())
        licence, ok = QInputDialog.getText(parent, title, "Licence:", text="CC-BY-4.0")
        if not ok:
            return None
    suffix = FORMATS[format].suffix
    path, _ = QFileDialog.getSaveFileName(
        parent, title, f"{name}-{format}{suffix}", f"{chosen} (*{suffix})"
    )
    return Choice(format, Path(path), authors, licence.strip()) if path else None


def ask_trust(parent: QWidget, text: str) -> bool:
    """Ask whether the code in a package may be run."""
    question = f"{printable(text, longest=1000)}\n\nRun it now?"
    return bool(QMessageBox.question(parent, "SegLite", question) == QMessageBox.StandardButton.Yes)


def exporting(
    store: CheckpointStore, name: str, choice: Choice
) -> Callable[[StopSignal], Generator[str, None, str]]:
    """Return the job that writes a checkpoint; its result is a sentence."""

    def steps(stop: StopSignal) -> Generator[str, None, str]:
        yield EXPORTING.format(name=choice.file.name)
        target = export_model(
            store,
            name,
            choice.format,
            choice.file,
            authors=choice.authors,
            licence=choice.licence,
        )
        return f"{target} was written, and computes what {name} computes."

    return steps


def importing(
    store: CheckpointStore, file: Path, trust_code: bool
) -> Callable[[StopSignal], Generator[str, None, CheckpointInfo | str]]:
    """Return the job that reads a model; its result is a sentence if code had to be trusted."""

    def steps(stop: StopSignal) -> Generator[str, None, CheckpointInfo | str]:
        yield f"Reading {file.name} …"
        try:
            return import_model(store, file, trust_code=trust_code)
        except UntrustedCodeError as error:
            return error.panel_text

    return steps
