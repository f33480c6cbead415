"""Stop long work between two layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import nn


Stop = Callable[[], bool]


def never() -> bool:
    """Stand in for a stop button nobody can press."""
    return False


@contextmanager
def interruptible(network: nn.Module, stop: Stop) -> Iterator[None]:
    """Let `stop` end a forward pass between any two layers by raising `Cancelled`.

    A tile of a large image takes seconds on a laptop; a user who cancels should not wait for it.
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
