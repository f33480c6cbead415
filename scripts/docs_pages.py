"""Write what the documentation takes from the program: commands, controls, samples.

    python scripts/docs_pages.py commands | controls

``docs/conf.py`` puts the output into the pages in ``docs/reference``. ``controls`` needs Qt and
napari, but no screen.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

# Texts of buttons with numbers that an empty window cannot fill in.
UNFILLED = ((r"Match \(× None\)", "Match"), (r"Join 0 layers", "Join layers"), (r": \.", "."))
PARAGRAPH = re.compile(r"</?p\b[^>]*>")  # of tooltips that wrap their lines


def commands() -> str:
    """Return the reference of ``seglite``: a section per command, from its parser."""
    os.environ["COLUMNS"] = "88"
    from napari_seglite.cli import build_parser

    parts = []
    for name, parser in subcommands(build_parser()):
        parts += [f"## {name.partition(' ')[2]}\n", cell(parser.description or ""), ""]
        parts += ["```text", plain(parser.format_help(), parser.description), "```", ""]
    return "\n".join(parts)


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command without commands of its own, and its parser."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield parser.prog, parser
    for action in inner:
        for each in action.choices.values():
            yield from subcommands(each)


def plain(text: str, description: str | None) -> str:
    """Return the help of a command without its description, which is the page's own text."""
    usage, _, options = text.partition("\n\n")
    if description:
        options = options.partition("\n\n")[2]
    return f"{usage}\n\n{options}".rstrip()


def controls() -> str:
    """Return the reference of the panel: a table per tab, from the tooltips."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {
            "NAPARI_CONFIG": f"{scratch}/settings.yaml",
            "SEGLITE_DATA": scratch,
            "QT_QPA_PLATFORM": "offscreen",
        }
        return _controls()


def _controls() -> str:
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_seglite.widgets.dock import SegliteDock

    application = QApplication.instance() or QApplication([])
    dock = SegliteDock(napari.components.ViewerModel())
    parts = []
    for tabs, prefix in ((dock.tabs, ""), (dock.tools, "Tools: ")):
        for number in range(tabs.count()):
            if tabs.widget(number) is dock.tools:
                continue
            parts += [
                f"## {prefix}{tabs.tabText(number)}\n",
                "| control | what it does |",
                "|---|---|",
            ]
            rows = dict(described(tabs.widget(number)))
            parts += [f"| **{name}** | {tip} |" for name, tip in rows.items()]
            parts.append("")
    dock.shut()
    del application
    return "\n".join(parts)


def described(panel: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the tooltip of every control of a panel, in the order of its rows."""
    from qtpy.QtWidgets import QAbstractButton, QFormLayout, QLabel, QWidget

    from napari_seglite.widgets.common import CheckpointBox

    titles: dict[Any, str] = {}
    for form in panel.findChildren(QFormLayout):
        for row in range(form.rowCount()):
            label = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
            field = form.itemAt(row, QFormLayout.ItemRole.FieldRole)
            if label is not None and field is not None and isinstance(label.widget(), QLabel):
                for widget in widgets_in(field):
                    titles.setdefault(widget, label.widget().text())
    for widget in panel.findChildren(QWidget):
        tip = widget.toolTip()
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        name = text or titles.get(widget, "")
        if isinstance(widget, CheckpointBox):
            tip = widget.explanation  # without the card of the checkpoint that is selected
        if tip and name:
            yield cell(name), cell(PARAGRAPH.sub(" ", tip))


def widgets_in(item: Any) -> Iterator[Any]:
    """Yield the widgets of an item of a layout, those inside it included."""
    from qtpy.QtWidgets import QWidget

    if (widget := item.widget()) is not None:
        yield widget
        yield from widget.findChildren(QWidget)
    if (layout := item.layout()) is not None:
        for number in range(layout.count()):
            yield from widgets_in(layout.itemAt(number))


def cell(text: str) -> str:
    """Return a text as one line without markup, for a cell of a Markdown table."""
    for unfilled, filled in UNFILLED:
        text = re.sub(unfilled, filled, text)
    return re.sub(r"([|<>*_\\`])", r"\\\1", " ".join(text.split()))


if __name__ == "__main__":
    print({"commands": commands, "controls": controls}[sys.argv[1]]())
