"""What the columns of the tables mean, shown where they stand."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QTableWidget

SCORES = {
    "dice": "Dice: twice the shared area, divided by the sum of both areas. 1 is identical, "
    "0 shares nothing; above 0.9 is good for most structures, less for small or thin ones.",
    "iou": "Intersection over union (Jaccard index): the shared area divided by the area that "
    "either covers. 0 to 1, always below Dice; above 0.8 is good for most structures.",
    "sensitivity": "Sensitivity (recall): the share of the reference that was found. "
    "Low values mean that much was missed.",
    "precision": "Precision: the share of what was found that is in the reference. "
    "Low values mean that much is false.",
    "hausdorff95": "95 % Hausdorff distance (HD95): 95 % of each outline lie closer to the other "
    "one than this. 0 is best; a few pixels are good. Infinite if one side is empty.",
    "surface_distance": "Average symmetric surface distance: the mean distance between the two "
    "outlines. 0 is best; about one pixel is good.",
    "ap50": "AP50: objects found, divided by objects found, missed and false together. An object "
    "is found if it and one of the reference have an IoU of at least 0.5. 0 to 1.",
    "aji": "Aggregated Jaccard index: shared area over united area, summed over all objects, with "
    "missed and false objects counted in. 0 to 1; above 0.6 is good for crowded nuclei.",
}
MEASURES = {
    "label": "The object's number in the layer",
    "t": "Time point, from 0",
    "time": "Time since the first time point, in the unit below",
    "area": "Area in the squared unit below, or in pixels where the layer states no size",
    "volume": "Volume in the cubed unit below, or in voxels where the layer states no size",
    "centroid": "Mean position of the object's pixels along this axis",
    "solidity": "Area divided by that of the convex hull: 1 for a convex outline, less for lobes",
    "equivalent_diameter": "Diameter of the disc or ball of the same area or volume",
    "axis_major_length": "Length of the ellipse or ellipsoid that is fitted to the object",
    "axis_minor_length": "Width of the ellipse or ellipsoid that is fitted to the object",
    "eccentricity": "Of the fitted ellipse: 0 for a circle, towards 1 the longer it is",
    "orientation": "Angle between the first axis and the long axis of the fitted ellipse, radians",
    "intensity_mean": "Mean intensity of the image inside the object",
    "intensity_min": "Lowest intensity of the image inside the object",
    "intensity_max": "Highest intensity of the image inside the object",
    "intensity_std": "Standard deviation of the image's intensity inside the object",
}
RANKING = {
    "Dice held out": "Mean Dice on slices, or parts of them, that were held out of training: 1 is "
    "identical to your corrections, 0 shares nothing. The higher, the better it learnt.",
    "before": "The same Dice before training; empty for a network from scratch",
    "s / megapixel": "Seconds that this computer needs to segment a million pixels",
    "parameters": "Number of weights, in millions: more need more memory and more corrections",
    "steps": "Weight updates that fitted into the time: a slow network gets fewer",
}


def score(column: str) -> str:
    """Return what a column of scores means."""
    if column.startswith("f1_"):
        iou = column.removeprefix("f1_")
        return (
            f"F1 of objects, where a pair with an IoU of at least {iou} counts as a match: twice "
            "the matches, divided by the objects of both sides. 0 to 1; the score falls with "
            "every missed, false, split or merged object."
        )
    return SCORES.get(column, "")


def measure(column: str) -> str:
    """Return what a column of measurements means."""
    return MEASURES.get(column.rsplit("_", 1)[0]) or MEASURES.get(column, "")


def ranking(column: str) -> str:
    """Return what a column of a comparison of networks means."""
    return RANKING.get(column, "")


def explain(table: QTableWidget, columns: list[str], meaning: Callable[[str], str]) -> None:
    """Give the headings of a table tooltips; of one row, they are the headings of its rows.

    Parameters
    ----------
    table : QTableWidget
        As a `ScoreTable` fills it.
    columns : list of str
        Of the frame that it shows.
    meaning : callable
        Returns the meaning of a column.
    """
    transposed = table.rowCount() == len(columns) and table.columnCount() == 1
    heading = table.verticalHeaderItem if transposed else table.horizontalHeaderItem
    for number, column in enumerate(columns):
        if (item := heading(number)) is not None:
            item.setToolTip(f"<p>{text}</p>" if (text := meaning(column)) else "")
