"""Random numbers of a training run, separate from those of the rest of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# torch has one global state per device, which only one run at a time can borrow.
_lock = RLock()


class RandomState:
    """A seeded state of torch's random number generators that no other code advances.

    Layers such as dropout draw from torch's global generators and take no other. A run borrows
    them for each step and puts back what it found, so that two runs in one process, or the
    caller's own code between two steps, do not disturb each other.

    Parameters
    ----------
    seed : int
        The same seed gives the same numbers.
    device : str
        The device that the run computes on, as `devices.resolve` returns it.
    """

    def __init__(self, seed: int, device: str = "cpu") -> None:
        import torch

        self._device = device
        with _lock, self._borrowed():
            torch.manual_seed(seed)
            self._states = self._read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make torch draw from this state. Never hold it across a ``yield``."""
        with _lock, self._borrowed():
            self._write(self._states)
            yield
            self._states = self._read()

    def state(self) -> list[Tensor]:
        """Return copies of the generators' states, from which `restore` continues."""
        return [state.clone() for state in self._states]

    def restore(self, states: list[Tensor]) -> None:
        """Continue from what `state` returned on a device of the same kind.

        Raises
        ------
        ValueError
            If it is of another kind of device.
        """
        if [state.shape for state in states] != [state.shape for state in self._states]:
            raise ValueError("These states are of another kind of device.")
        self._states = [state.clone() for state in states]

    @contextmanager
    def _borrowed(self) -> Iterator[None]:
        before = self._read()
        try:
            yield
        finally:
            self._write(before)

    def _read(self) -> list[Tensor]:
        import torch

        states = [torch.get_rng_state()]
        if self._device.startswith("cuda"):
            states.append(torch.cuda.get_rng_state(self._device))
        elif self._device == "mps":
            states.append(torch.mps.get_rng_state())
        return states

    def _write(self, states: list[Tensor]) -> None:
        import torch

        torch.set_rng_state(states[0])
        if self._device.startswith("cuda"):
            torch.cuda.set_rng_state(states[1], self._device)
        elif self._device == "mps":
            torch.mps.set_rng_state(states[1])
