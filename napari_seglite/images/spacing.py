"""Pixel sizes in micrometres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PixelSize = tuple[float, float]


def micrometres(sizes: Sequence[float], unit: Any) -> PixelSize | None:
    """Return the height and width of a pixel in micrometres.

    Parameters
    ----------
    sizes : sequence of float
        Size of a pixel along all axes; Y and X are the last two.
    unit : str or pint.Unit
        Of the sizes.

    Returns
    -------
    tuple of float or None
        None if the unit is not a length (such as "pixel") or a size is 0.
    """
    import pint

    registry = pint.get_application_registry()
    try:
        factor = float(registry.Quantity(1.0, str(unit)).to("micrometer").magnitude)
    except (pint.PintError, AttributeError, ValueError):
        return None
    height, width = (abs(float(n)) * factor for n in tuple(sizes)[-2:])
    return (height, width) if height > 0 and width > 0 else None
