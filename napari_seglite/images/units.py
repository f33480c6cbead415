"""Units of length and time, in whatever spelling files and layers use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

PixelSize = tuple[float, float]
UNKNOWN = "pixel"
_PREFIXES = {"": "", "centi": "c", "milli": "m", "micro": "u", "nano": "n", "pico": "p"}
# What most files say, so that pint, which takes a moment to load, is asked for the others alone,
# and spellings that pint reads as something else or not at all: "Min" as an inch times a million.
_SPELLINGS = {
    **{
        long + name + plural: short + symbol
        for long, short in _PREFIXES.items()
        for name, symbol in (("meter", "m"), ("metre", "m"), ("second", "s"))
        for plural in ("", "s")
    },
    **{short + symbol: short + symbol for short in _PREFIXES.values() for symbol in "ms"},
    # ImageJ writes micrometres as "u".
    **dict.fromkeys(("u", "μ", "μm", "micron", "microns"), "um"),
    **dict.fromkeys(("A", "å", "angstrom", "angstroms"), "Å"),
    **dict.fromkeys(("sec", "secs"), "s"),
    **dict.fromkeys(("min", "Min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("", "px", "pix", "pixels", "unknown", "none"), UNKNOWN),
    **dict.fromkeys(("pixel", "frame", "frames", "slice", "slices"), UNKNOWN),
}
# Metres in the most common units of length, for the same reason.
_FACTORS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12, "Å": 1e-10}
# A word; pint would take anything longer for a formula and compute it.
_WORD = re.compile(r"[^\W\d]\w{0,59}")
# Characters; a longer text is no unit.
_LONGEST = 200


def _registry() -> Any:
    import pint

    return pint.get_application_registry()


@lru_cache(maxsize=1024)
def canonical_unit(text: str) -> str:
    r"""Return the short name of a unit, the same for all of its spellings.

    Upper and lower case are told apart where both are units: ``"Mm"`` is a megametre.

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
    plain = _plain(text)
    if len(plain) > _LONGEST:
        return UNKNOWN
    for spelling in (plain, plain.lower()):
        found = _SPELLINGS.get(spelling) or _short(spelling)
        if found:
            return found
    return plain


def _plain(text: str) -> str:
    """Return a text with one code for each sign, whatever program wrote it."""
    # ImageJ escapes what is not ASCII.
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    # NFKC makes the micro sign the Greek letter and the sign of the angstrom the Swedish one. The
    # letters removed are UTF-8 that was read as Latin-1.
    text = unicodedata.normalize("NFKC", text).replace("Âμ", "μ").replace("Î¼", "μ")
    return text.strip().strip("\0").strip()


def _short(text: str) -> str | None:
    """Return pint's symbol of a unit, or its name if the symbol has another meaning."""
    unit = _parsed(text)
    if unit is None:
        return None
    symbol = f"{unit:~}".replace("µ", "u").replace("μ", "u")
    if _SPELLINGS.get(symbol, symbol) == symbol and _parsed(symbol) == unit:
        return symbol
    return f"{unit:D}"


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    """Return a pint unit of length or time, or None."""
    text = text.replace(" ", "_")
    if not _WORD.fullmatch(text):
        return None
    try:
        unit = _registry().Unit(text)
    except Exception:  # pint's parser raises anything at all on a text that is no unit
        return None
    return unit if dict(unit.dimensionality) in ({"[length]": 1}, {"[time]": 1}) else None


def long_unit(unit: str) -> str:
    """Return the long name of a unit, such as ``"micrometer"``, as OME-Zarr wants it."""
    parsed = _parsed(canonical_unit(unit))
    return unit if parsed is None else f"{parsed:D}"


def is_length(unit: Any) -> bool:
    """Whether a unit is one of length."""
    parsed = _parsed(canonical_unit(str(unit)))
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
    if UNKNOWN in (first, second):
        return None
    if first in _FACTORS and second in _FACTORS:
        return float(value) * (_FACTORS[first] / _FACTORS[second])
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
