"""Stop long computations between two layers of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import nn


Stop = Callable[[], bool]
Result = TypeVar("Result")


def never() -> bool:
    """Return False: the work is never stopped."""
    return False


def delayed(stop: Stop, seconds: float) -> Stop:
    """Return a function that turns True once `stop` has been True for some seconds.

    Parameters
    ----------
    stop : callable
        Asked whenever the function is.
    seconds : float
        Counted from the first call that finds it True.
    """
    since: list[float] = []

    def late() -> bool:
        if not since and stop():
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= seconds

    return late


def wait_for(work: Callable[[], Result], stop: Stop) -> Result:
    """Do work that nothing can interrupt, but wait for it only until `stop` returns True.

    The work goes on in a thread of its own then, and what it leaves for later runs is not lost.

    Parameters
    ----------
    work : callable
        Called once.
    stop : callable
        Asked every few hundredths of a second.

    Returns
    -------
    object
        What the work returned.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=call, name="seglite-work")
    thread.start()
    while thread.is_alive():
        if stop():
            raise Cancelled
        thread.join(0.02)
    if errors:
        raise errors[0]
    return results[0]


@contextmanager
def interruptible(network: nn.Module, stop: Stop, gradients: bool = False) -> Iterator[None]:
    """Raise `Cancelled` between any two layers of a forward pass once `stop` returns True.

    A tile of a large image takes seconds on a laptop; a user who cancels should not wait for it.

    Parameters
    ----------
    network : Module
        Its layers are hooked within the context.
    stop : callable
        Called before every layer.
    gradients : bool
        Whether to ask in the backward pass, too: whenever the gradient of a weight is known.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """

    def check(*_: Any) -> None:
        if stop():
            raise Cancelled

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(check) for module in leaves]
    if gradients:
        learning = [weight for weight in network.parameters() if weight.requires_grad]
        hooks += [weight.register_hook(check) for weight in learning]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
