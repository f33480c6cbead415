"""Units of length and time, in whatever spelling files and layers use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

PixelSize = tuple[float, float]
# Spellings that pint reads as something else, or not at all. ImageJ writes micrometres as "u".
_MICRO = dict.fromkeys(("u", "µ", "μ", "micron", "microns", "micrometre", "micrometres"), "um")
_SPELLINGS = {
    **_MICRO,
    **dict.fromkeys(("", "px", "pix", "pixels"), "pixel"),
    **dict.fromkeys(("a", "å", "ångström", "angstroms"), "angstrom"),
    **dict.fromkeys(("sec", "secs", "seconds"), "s"),
    **dict.fromkeys(("frame", "frames", "slice", "slices"), "pixel"),
}
UNKNOWN = "pixel"


def _registry() -> Any:
    import pint

    return pint.get_application_registry()


@lru_cache(maxsize=256)
def canonical_unit(text: str) -> str:
    r"""Return the short name of a unit, the same for all of its spellings.

    Parameters
    ----------
    text : str
        Such as ``"micrometre"``, ``"µm"``, ``"\\u00B5m"`` or ``"Å"``.

    Returns
    -------
    str
        Such as ``"um"``, ``"Å"`` or ``"ms"``; ``"pixel"`` for none. What is neither a length nor a
        time, such as ``"reference frame"``, stays as it is.

    Examples
    --------
    >>> canonical_unit("Micrometre"), canonical_unit("seconds"), canonical_unit("")
    ('um', 's', 'pixel')
    """
    plain = text.replace("\\u00B5", "µ").replace("\\u00C5", "Å").strip().strip("\0")
    for spelling in (plain, plain.lower()):
        unit = _parsed(_SPELLINGS.get(spelling.lower(), spelling) if spelling != "A" else "Å")
        if unit is not None:
            short = f"{unit:~}".replace("µ", "u")
            return "um" if short == "u" else short
    return _SPELLINGS.get(plain.lower(), plain)


def _parsed(text: str) -> Any:
    """Return a pint unit of length or time, or None."""
    try:
        unit = _registry().Unit(text)
    except Exception:  # pint's parser raises anything at all on a text that is no unit
        return None
    return unit if dict(unit.dimensionality) in ({"[length]": 1}, {"[time]": 1}) else None


def long_unit(unit: str) -> str:
    """Return the long name of a unit, such as ``"micrometer"``, as OME-Zarr wants it."""
    parsed = _parsed(unit)
    return unit if parsed is None else f"{parsed:D}"


def is_length(unit: Any) -> bool:
    """Whether a unit is one of length."""
    parsed = _parsed(str(unit))
    return parsed is not None and dict(parsed.dimensionality) == {"[length]": 1}


def convert(value: float, unit: Any, to: Any) -> float | None:
    """Return a value in another unit, or None if there is no way from one to the other.

    Parameters
    ----------
    value : float
        In `unit`.
    unit, to : str or pint.Unit
        The units, in any spelling.
    """
    first, second = canonical_unit(str(unit)), canonical_unit(str(to))
    if first == second:
        return float(value)
    a, b = _parsed(first), _parsed(second)
    if a is None or b is None or a.dimensionality != b.dimensionality:
        return None
    return float(value) * float(_registry().get_base_units(a)[0] / _registry().get_base_units(b)[0])


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
    factor = convert(1.0, unit, "um")
    if factor is None:
        return None
    height, width = (abs(float(n)) * factor for n in tuple(sizes)[-2:])
    return (height, width) if height > 0 and width > 0 else None
