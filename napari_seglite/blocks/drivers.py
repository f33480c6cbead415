"""Drivers that do units of work in other processes: on this computer, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..errors import SegliteError
from .ledger import Step
from .work import work

# How often a unit is begun again after the process that did it was killed.
ATTEMPTS = 5
# Units that wait at a Dask scheduler; more would only take its memory.
WINDOW = 1000


@dataclass(frozen=True)
class LocalProcesses:
    """Processes on this computer; one that is killed costs the block that it was at.

    Parameters
    ----------
    workers : int
        How many.
    threads : int or None
        Threads of each; None to share the processor's cores.
    """

    workers: int
    threads: int | None = None

    def __call__(self, place: str, step: Step, numbers: Sequence[int]) -> Iterator[int]:
        """Do units of a step; see `Driver`."""
        if len(numbers) == 1:  # not worth a process
            yield work(place, step, numbers[0])
            return
        attempts: Counter[int] = Counter()
        left = list(reversed(numbers))
        while left:
            pool = self._pool(step, min(self.workers, len(left)))
            flying: dict[Future[int], int] = {}
            try:
                while left or flying:
                    while left and len(flying) < self.workers:
                        number = left.pop()
                        flying[pool.submit(work, place, step, number)] = number
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        number = future.result()
                        del flying[future]
                        yield number
            except BrokenProcessPool as error:
                attempts.update(flying.values())
                left.extend(flying.values())
                if max(attempts.values()) >= ATTEMPTS:
                    raise SegliteError(
                        f"A worker was killed {ATTEMPTS} times at the same block; it may need more "
                        "memory than there is. Choose fewer workers, or smaller blocks."
                    ) from error
            finally:
                pool.shutdown(cancel_futures=True)

    def _pool(self, step: Step, workers: int) -> ProcessPoolExecutor:
        threads = self.threads or max(1, (os.cpu_count() or 1) // self.workers)
        threads *= step == "segment"  # the others need no torch, which takes seconds to import
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, context, _begin_worker, (threads,))


def _begin_worker(threads: int) -> None:
    """Set torch's threads, if there are any; let a worker end with the process that started it."""
    if threads:
        import torch

        torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@dataclass(frozen=True)
class DaskCluster:
    """The workers of a Dask cluster, which must reach the image, the labels and the checkpoint.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    resources : mapping, optional
        What a unit takes of a worker's resources while it segments, such as ``{"GPU": 1}``.
    """

    client: Any
    resources: Mapping[str, float] | None = None

    def __call__(self, place: str, step: Step, numbers: Sequence[int]) -> Iterator[int]:
        """Do units of a step; see `Driver`."""
        from distributed import as_completed

        waiting = iter(numbers)
        resources = dict(self.resources or {}) if step == "segment" else None

        def submit(number: int) -> Any:
            return self.client.submit(
                work, place, step, number, pure=False, retries=ATTEMPTS, resources=resources
            )

        flying: Any = as_completed(  # type: ignore[no-untyped-call]
            [submit(number) for number in islice(waiting, WINDOW)]
        )
        for future in flying:
            yield future.result()
            for number in islice(waiting, 1):
                flying.add(submit(number))


def connect(address: str) -> Any:
    """Return a client of the Dask scheduler at an address.

    Raises
    ------
    SegliteError
        If the package is missing, or nothing answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise SegliteError(
            "Dask clusters need the package distributed: pip install 'napari-seglite[cluster]'."
        ) from error
    try:
        return Client(address)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SegliteError(f"{address}: no Dask scheduler answers there ({error}).") from error
