"""One function for Python: segment in memory, or block by block into a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

from ..checkpoints import CheckpointStore
from ..errors import SegliteError
from ..inference import Segmentation, SegmentRequest
from ..inference import segment as segment_in_memory
from .drivers import DaskCluster, LocalProcesses
from .plan import Blocks, prepare
from .run import Driver, here, run


@overload
def segment(
    image: Any, request: SegmentRequest, store: CheckpointStore | None = None
) -> Segmentation: ...


@overload
def segment(
    image: str | Path,
    request: SegmentRequest,
    store: CheckpointStore | None = None,
    *,
    output: str | Path,
    client: Any = None,
    resources: Mapping[str, float] | None = None,
    workers: int = 1,
    blocks: Blocks | None = None,
) -> str: ...


def segment(
    image: Any,
    request: SegmentRequest,
    store: CheckpointStore | None = None,
    *,
    output: str | Path | None = None,
    client: Any = None,
    resources: Mapping[str, float] | None = None,
    workers: int = 1,
    blocks: Blocks | None = None,
) -> Segmentation | str:
    """Segment an image and return the result; or, with `output`, write it block by block.

    Parameters
    ----------
    image : array, str or Path
        An array, or a sequence of arrays, see `Segmenter.run`. With `output`, the path or address
        of an image, which every worker reads for itself.
    request : SegmentRequest
        Settings of the segmentation.
    store : CheckpointStore, optional
        Store of the checkpoints; the user's if not given. Workers use their user's.
    output : str or Path, optional
        Path or address of the labels, OME-Zarr ending in ``.zarr``.
    client : distributed.Client, optional
        Of a Dask cluster whose workers segment the blocks.
    resources : mapping, optional
        What a block takes of a Dask worker's resources, such as ``{"GPU": 1}``.
    workers : int
        Processes on this computer, if no client is given.
    blocks : Blocks, optional
        How to cut the image.

    Returns
    -------
    Segmentation or str
        The labels and probabilities; with `output`, where the labels are.

    Raises
    ------
    SegliteError
        See `Segmenter.run` and `prepare`.

    Examples
    --------
    >>> image = read_image("cells.tif")  # doctest: +SKIP
    >>> request = SegmentRequest("nuclei-s-net", image.axes.order)  # doctest: +SKIP
    >>> segment(image.levels, request).labels.max()  # doctest: +SKIP
    1
    >>> from distributed import Client  # doctest: +SKIP
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> segment("big.zarr", request, output="out.zarr", client=client)  # doctest: +SKIP
    'out.zarr'
    """
    if output is None:
        if client is not None or workers != 1 or blocks is not None:
            raise SegliteError("Several processes need a place for the labels: give an output.")
        return segment_in_memory(image, request, store)
    if not isinstance(image, str | Path):
        raise SegliteError("Give the path or address of the image, which every worker can read.")
    driver: Driver = here
    if client is not None:
        driver = DaskCluster(client, resources)
    elif workers > 1:
        driver = LocalProcesses(workers)
    ledger = prepare(image, request, output, blocks, store)
    for _ in run(ledger, driver):
        pass
    return ledger.place
