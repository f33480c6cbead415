"""Describe the settings of a request once: range, command-line option and help."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_type_hints

from ..errors import SegliteError

MOST_NUMBERS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a request.

    Attributes
    ----------
    parse : callable
        Reads the setting from the text of a command-line option; bool for one without a value.
    help : str
        Help text of the option.
    label : str
        Its name at the start of error messages.
    low, high : float or None
        Allowed range, ends included; None for no limit.
    unit : str
        Unit of the range, for messages.
    choices : tuple of str
        Allowed values; empty if any are.
    flags : str
        Name under which argparse stores the choice, if each is an option of its own without a
        value, such as ``--instances``.
    metavar : str or None
        Placeholder for the value in the usage message.
    always : bool
        Whether a command that repeats a request names the setting even at its default.
    name : str
        Field of the request; filled in by `settings_of`, like the default.
    default : object
        Default value of the field.
    """

    parse: Callable[[str], Any] = str
    help: str = ""
    label: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    flags: str = ""
    metavar: str | None = None
    always: bool = False
    name: str = ""
    default: Any = None

    @property
    def dest(self) -> str:
        """The name under which argparse stores the option."""
        return self.flags or self.name

    @property
    def option(self) -> str:
        """The command-line option, such as ``--min-size``."""
        return f"--{self.dest.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Raise SegliteError if a value is out of range or none of the choices."""
        if value is None and self.default is None:
            return
        if self.choices and value not in self.choices:
            offered = ", ".join(self.choices)
            raise SegliteError(f"{self.label} must be one of {offered}, not {value!r}.")
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            if not self.low <= value <= self.high:
                between = f"between {self.low:g} and {self.high:g}{unit}"
                raise SegliteError(f"{self.label} must lie {between}, not {value}.")
        elif self.low is not None and not value >= self.low:
            raise SegliteError(f"{self.label} must be at least {self.low:g}{unit}, not {value}.")

    def words(self, value: Any) -> list[str]:
        """Return the words of a command line that choose a value."""
        if value is None or (value == self.default and not self.always):
            return []
        if self.parse is bool:
            return [self.option]
        if self.flags:
            return [f"--{value}"]
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        # Text that may begin with a minus sign would be read as an option.
        return [f"{self.option}={text}"] if text.startswith("-") else [self.option, text]

    def read(self, value: Any) -> Any:
        """Return the setting that a parsed command line holds.

        Parameters
        ----------
        value : object
            As argparse returns it: text for settings without a default.
        """
        return self.parse(value) if isinstance(value, str) else value


def settings_of(request: type[Any]) -> dict[str, Setting]:
    """Return the settings of a dataclass by the names of its fields.

    Parameters
    ----------
    request : type
        A dataclass; fields annotated with a `Setting` are its settings.
    """
    hints = get_type_hints(request, include_extras=True)
    return {
        field.name: dataclasses.replace(description, name=field.name, default=field.default)
        for field in dataclasses.fields(request)
        for description in getattr(hints[field.name], "__metadata__", ())
        if isinstance(description, Setting)
    }


def parse_numbers(text: str, kind: str = "frames") -> tuple[int, ...]:
    """Read frames or channels written as ``0,3,5-9``.

    Parameters
    ----------
    text : str
        Numbers and ranges, separated by commas.
    kind : str
        Name of the numbers in the error message.

    Raises
    ------
    SegliteError
        If the text is anything else, or names more than a million.
    """
    ranges: list[range] = []
    try:
        for item in text.split(","):
            first, _, last = item.strip().partition("-")
            ranges.append(range(int(first), int(last or first) + 1))
    except ValueError:
        raise SegliteError(f"{text!r} names no {kind}; write them like 0,3,5-9.") from None
    if not all(ranges):
        raise SegliteError(f"{text!r} names no {kind}: a range ends after it begins, like 5-9.")
    # From the ends, because Python's len() cannot count every range.
    if sum(each[-1] - each[0] + 1 for each in ranges) > MOST_NUMBERS:
        raise SegliteError(f"{text!r} names more than {MOST_NUMBERS:,} {kind}.")
    return tuple(number for each in ranges for number in each)


def parse_channels(text: str) -> tuple[int, ...]:
    """Read channels written as ``0,2``; see `parse_numbers`."""
    return parse_numbers(text, "channels")
