"""Run training in a job without freezing the window."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar

from ...inference import BeforeAfter
from ...runtime import process
from ...training import Previewed, TrainingEvent
from .label_colours import warm_colours, warm_colours_soon

Event = TypeVar("Event", bound=TrainingEvent | BeforeAfter)


def ready_to_train(events: Iterator[Event]) -> Generator[Event, None, None]:
    """Load the libraries of training, then yield its events.

    The first preview waits until the window can show it without freezing.
    """
    process.load_training()
    warm_colours_soon()
    for event in events:
        if isinstance(event, Previewed):
            warm_colours()
        yield event
