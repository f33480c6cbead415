"""Stop long computations between two layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import nn


Stop = Callable[[], bool]


def never() -> bool:
    """Return False: the work is never stopped."""
    return False


@contextmanager
def interruptible(network: nn.Module, stop: Stop) -> Iterator[None]:
    """Raise `Cancelled` between any two layers of a forward pass once `stop` returns True.

    A tile of a large image takes seconds on a laptop; a user who cancels should not wait for it.

    Parameters
    ----------
    network : Module
        Its layers are hooked within the context.
    stop : callable
        Called before every layer.

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
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
