"""What the two computers say to each other while work is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import errors
from ..errors import SegliteError

if TYPE_CHECKING:
    from ..inference import View


@dataclass(frozen=True)
class Controls:
    """What the user's computer says in every exchange.

    Attributes
    ----------
    stop, abort, paused : bool
        As `FineTuner.run` and `RunCallbacks` take them.
    view : View or None
        What the user sees.
    """

    stop: bool = False
    abort: bool = False
    paused: bool = False
    view: View | None = None


@dataclass(frozen=True)
class Yielded:
    """A value that the work yielded."""

    value: Any


@dataclass(frozen=True)
class PixelsAsked:
    """The work needs a part of the image, and waits for it.

    Attributes
    ----------
    number : int
        Tells questions apart.
    index : tuple
        Of the part in the image.
    """

    number: int
    index: tuple[int | slice, ...]


@dataclass(frozen=True)
class Ended:
    """The work is done.

    Attributes
    ----------
    value : object
        What it returned.
    """

    value: Any = None


@dataclass(frozen=True)
class Failed:
    """The work failed.

    Attributes
    ----------
    kind : str
        Name of a class in `errors`.
    text : str
        A sentence for the user.
    """

    kind: str
    text: str

    def error(self) -> SegliteError:
        """Return the error to raise."""
        found = getattr(errors, self.kind, SegliteError)
        known = isinstance(found, type) and issubclass(found, SegliteError)
        return found(self.text) if known else SegliteError(self.text)


@dataclass(frozen=True)
class WasCancelled:
    """The work was cancelled before it had a result."""


Message = Yielded | PixelsAsked | Ended | Failed | WasCancelled
# After these nothing more is said.
LAST = (Ended, Failed, WasCancelled)
