"""Texts and curves can be read in napari's dark theme and in its light one."""

import re
from pathlib import Path

import pytest
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem

from napari_seglite import widgets
from napari_seglite.widgets.common import StatusLabel, TrainingCurves, colours, forms

# What is drawn over images or is a colour that the user chose: no text of the theme.
ON_IMAGES = {"evaluate.py", "class_row.py"}
LITERAL = re.compile(r"#[0-9a-fA-F]{6}\b|\bcolor: *(?!\{)\w|QColor\([\"']")


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    channels = [value / 255 for value in QColor(colour).getRgb()[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("role", colours.ROLES)
def test_every_colour_stands_out(theme, role):
    colour = getattr(colours.ROLES[role], theme)
    for surface in ("background", "foreground"):
        assert contrast(colour, getattr(get_theme(theme), surface).as_hex()) >= 4.5, surface


def test_no_colour_is_written_elsewhere():
    folder = Path(widgets.__file__).parent
    found = {
        f"{path.relative_to(folder)}: {line.strip()}"
        for path in folder.rglob("*.py")
        if path != Path(colours.__file__) and path.name not in ON_IMAGES
        for line in path.read_text().splitlines()
        if LITERAL.search(line)
    }
    assert found == set()


def test_colours_follow_the_theme(qtbot, plugin_settings):
    label, curves, tree = StatusLabel(), TrainingCurves(), QTreeWidget()
    for widget in (label, curves, tree):
        qtbot.addWidget(widget)
    forms.show_columns(tree, "Slice", "State")
    item = QTreeWidgetItem(["0", "corrected"])
    tree.addTopLevelItem(item)
    colours.tint_item(item, 1, "corrected")
    label.say("Failed.", error=True)
    curves.add_loss(1, 0.5)
    for theme in ("light", "dark"):
        get_settings().appearance.theme = theme
        pair = {role: getattr(colours.ROLES[role], theme) for role in colours.ROLES}
        assert pair["error"] in label.styleSheet()
        assert item.foreground(1).color() == QColor(pair["corrected"])
        (part,) = curves.parts.values()
        assert part.items[0].opts["pen"].color() == QColor(pair["loss"])
        assert pair["dice"] in curves._text.text()
    label.say("Fine.")
    assert label.styleSheet() == ""
    # A widget that is gone is no longer asked.
    tree.deleteLater()
    qtbot.wait(1)
    get_settings().appearance.theme = "light"
