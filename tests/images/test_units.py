"""Units of length and time in every spelling that files use."""

import subprocess
import sys
from contextlib import suppress

import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seglite.images import canonical_unit, convert, is_length, long_unit, micrometres

MICROMETRES = [
    "um", "u", "UM", "µm", "μm", "micron", "Microns", "micrometre", "micrometer", "Micrometers",
    "MICROMETRE", r"\u00B5m", r"\u00b5m", r"\u03BCm", "Âµm", " um ", "um\0",
]  # fmt: skip


@pytest.mark.parametrize("text", MICROMETRES)
def test_micrometres_of_every_spelling(text):
    assert canonical_unit(text) == "um"
    assert long_unit(text) == "micrometer"


@pytest.mark.parametrize(
    ("text", "unit", "name"),
    [
        ("A", "Å", "angstrom"), ("\u00c5", "Å", "angstrom"), ("\u212b", "Å", "angstrom"),
        ("A\u030a", "Å", "angstrom"), ("Ångström", "Å", "angstrom"), (r"\u00C5", "Å", "angstrom"),
        ("MM", "mm", "millimeter"), ("Mm", "Mm", "megameter"), ("nm", "nm", "nanometer"),
        ("NM", "nm", "nanometer"), ("metres", "m", "meter"), ("inch", "in", "inch"),
        ("sec", "s", "second"), ("Seconds", "s", "second"), ("msec", "ms", "millisecond"),
        ("Min", "min", "minute"), ("hr", "h", "hour"), ("a", "a", "year"), ("year", "a", "year"),
        ("", "pixel", ""), ("px", "pixel", "px"), ("Pixels", "pixel", "Pixels"),
        ("reference frame", "reference frame", "reference frame"), ("kg", "kg", "kg"),
        ("light year", "ly", "light_year"), ("x" * 1000, "pixel", "x" * 1000),
    ],
)  # fmt: skip
def test_other_units(text, unit, name):
    assert (canonical_unit(text), long_unit(text)) == (unit, name)


@pytest.mark.parametrize(
    "text", ["9**9**9**9**9", "um**99999999", "(" * 150, "um*um", "um/um", "1"]
)
def test_formulas_are_not_computed(text):
    assert canonical_unit(text) == text
    assert convert(1, text, "um") is None


REGISTRY = pint.get_application_registry()
LENGTH_OR_TIME = ({"[length]": 1}, {"[time]": 1})


def units_of_pint():
    """Yield the names of all its units of length or time, but for that of screens."""
    for name in sorted(set(REGISTRY._units) - {"px"}):
        with suppress(pint.UndefinedUnitError):
            if dict(REGISTRY.Unit(name).dimensionality) in LENGTH_OR_TIME:
                yield name


UNITS = list(units_of_pint())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(["", "micro", "nano", "kilo", "u", "k"]), st.sampled_from(UNITS),
    st.sampled_from(UNITS), st.floats(1e-6, 1e6),
)  # fmt: skip
def test_every_unit_of_pint_comes_back_and_converts(prefix, name, other, value):
    name = prefix + name
    try:
        unit = REGISTRY.Unit(name)
    except pint.UndefinedUnitError:
        return
    short = canonical_unit(name)
    assert canonical_unit(short) == short
    assert canonical_unit(long_unit(short)) == short
    assert canonical_unit(str(unit)) == short
    assert is_length(name) == (dict(unit.dimensionality) == {"[length]": 1})
    expected = REGISTRY.Quantity(value, name)
    if unit.dimensionality != REGISTRY.Unit(other).dimensionality:
        assert convert(value, name, other) is None
    else:
        assert convert(value, name, other) == pytest.approx(expected.to(other).magnitude)


def test_the_size_of_a_pixel_in_micrometres():
    assert micrometres((3, 500, 250), "nm") == pytest.approx((0.5, 0.25))
    assert micrometres((1, 1), "pixel") is None
    assert micrometres((1, 1), "s") is None
    assert micrometres((0, 1), "um") is None


def test_usual_units_do_not_load_pint():
    code = (
        "import sys; from napari_seglite.images import Grid, canonical_unit;"
        "[canonical_unit(u) for u in ('um', '', 'micrometer', 'µm', 'nm', 's', 'pixel', 'A')];"
        "Grid.of('TZYX', dict.fromkeys('TZYX', 2.0), {'X': 'um', 'Y': 'µm', 'Z': 'um', 'T': 's'});"
        "print('pint' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
