"""Use the value that a generator returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class WithResult(Generic[Item, Result]):
    """Iterate over a generator and keep the value that it returns.

    Parameters
    ----------
    generator : generator
        Yields items and returns a result.

    Attributes
    ----------
    result : object
        The returned value; set once the iteration has ended.

    Examples
    --------
    >>> steps = WithResult(segmenter.run(image, request))  # doctest: +SKIP
    >>> for progress in steps:  # doctest: +SKIP
    ...     print(progress.text)
    >>> labels = steps.result.labels  # doctest: +SKIP
    """

    result: Result

    def __init__(self, generator: Generator[Item, None, Result]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[Item]:
        self.result = yield from self._generator


def drain(generator: Generator[Any, None, Result]) -> Result:
    """Run a generator to its end and return its value."""
    steps = WithResult(generator)
    deque(steps, maxlen=0)
    return steps.result
