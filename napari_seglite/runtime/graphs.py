"""Networks as graphs for OpenVINO: exported once, checked against torch, and kept on disk.

A graph holds the network's weights in float32 and takes tiles of any size. It is valid for these
weights and these versions of the software alone; the precision, and one size if all tiles have it,
are chosen when it is compiled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models
from src_models.selective_scan import choose_backend

from ..formats import is_unfinished, recover, replacing

if TYPE_CHECKING:
    from ..checkpoints import CheckpointInfo

FOLDER = "graphs"
# Largest difference from torch's output, as a share of its range, of a graph that is kept.
TOLERANCE = 1e-4
# All graphs together; the one that was used longest ago goes first.
KEPT_BYTES = 2_000_000_000


@dataclass(frozen=True)
class GraphCache:
    """The graphs of one user.

    Parameters
    ----------
    folder : Path
        Holds a folder for each exported network, and a text file for each that cannot be exported.
    """

    folder: Path

    def path(self, info: CheckpointInfo) -> Path:
        """Return where the graph of a checkpoint lies, or would lie.

        Its name tells the weights, the options of the network and all versions.
        """
        facts = {
            "weights": info.weights_sha256,
            "network": [info.network, src_models.card(info.network).factory],
            "options": [info.in_channels, info.classes, info.head, info.options],
            "versions": [_version(name) for name in ("napari-seglite", "torch", "openvino")],
        }
        text = json.dumps(facts, sort_keys=True, default=list)
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]

    def holds(self, info: CheckpointInfo) -> bool:
        """Whether the graph of a checkpoint is there."""
        return self.path(info).is_dir()

    def refusal(self, info: CheckpointInfo) -> str:
        """Return why the network could not be exported; an empty string if nobody tried."""
        try:
            return self.path(info).with_suffix(".txt").read_text("utf-8").strip()
        except (OSError, ValueError):
            return ""

    def refuse(self, info: CheckpointInfo, reason: str) -> None:
        """Remember why a network cannot be exported."""
        with suppress(OSError), replacing(self.path(info).with_suffix(".txt")) as scratch:
            scratch.write_text(f"{reason}\n", "utf-8")

    def forget(self, info: CheckpointInfo) -> None:
        """Remove a graph, such as one that cannot be read."""
        shutil.rmtree(self.path(info), ignore_errors=True)

    @contextmanager
    def adding(self, info: CheckpointInfo) -> Iterator[Path]:
        """Yield a folder for the graph of a checkpoint, which is kept if nothing fails.

        If too many graphs are kept then, those that were used longest ago go.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        with replacing(self.path(info)) as scratch:
            scratch.mkdir()
            yield scratch
        self._prune()

    def read(self, info: CheckpointInfo) -> dict[str, Any]:
        """Return the graphs of the parts of a network by name, see `exporting.parts`.

        Parameters
        ----------
        info : CheckpointInfo
            Card of the checkpoint; its graph is there.

        Raises
        ------
        RuntimeError
            If the graph cannot be read.
        """
        folder = self.path(info)
        with suppress(OSError):
            folder.touch()  # used last
        return {file.stem: read(file) for file in folder.glob("*.xml")}

    def _prune(self) -> None:
        recover(self.folder)
        with suppress(OSError):
            folders = [path for path in self.folder.iterdir() if path.is_dir()]
            folders = [path for path in folders if not is_unfinished(path)]
            total = 0
            for path in sorted(folders, key=lambda path: -path.stat().st_mtime):
                total += sum(file.stat().st_size for file in path.iterdir())
                if total > KEPT_BYTES:
                    shutil.rmtree(path, ignore_errors=True)


def obstacle(info: CheckpointInfo, device: str) -> str:
    """Return why OpenVINO cannot run a network on a device; an empty string if nothing is known.

    Parameters
    ----------
    info : CheckpointInfo
        Card of the network's checkpoint.
    device : str
        As `devices.resolve` returns it.
    """
    card = src_models.card(info.network)
    if device != "cpu":
        return f"it is for the CPU alone, and this runs on {device}"
    if card.uses_scan and choose_backend("cpu") != "numba":
        return f"the scan of {card.title} needs Numba for that"
    if info.volumetric:
        return "networks for volumes are not exported"
    if not installed():
        return "it is not installed; pip install 'napari-seglite[fast]' installs it"
    return ""


def installed() -> bool:
    """Whether OpenVINO is there."""
    return bool(_version("openvino"))


def read(file: Path) -> Any:
    """Return a graph that lies on disk, not compiled yet.

    Raises
    ------
    RuntimeError
        If it cannot be read.
    """
    import openvino

    from .scan_operation import ScanOperation

    core = openvino.Core()
    core.add_extension(ScanOperation)
    return core.read_model(file)


def of_one_size(parts: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Return copies of the graphs of a network's parts for images of one shape.

    OpenVINO plans their memory in advance, and needs a fraction of it. In bfloat16 they round at
    other places than graphs for any size do.

    Parameters
    ----------
    parts : dict
        Graphs for any size, by name.
    shape : tuple of int
        ``(1, C, h, w)``.
    """
    copies = {name: graph.clone() for name, graph in parts.items()}
    if "decode" not in copies:
        copies["forward"].reshape({0: list(shape)})
        return copies
    encode, decode = copies["encode"], copies["decode"]
    encode.reshape({0: list(shape)})
    maps = [list(each.shape) for each in encode.outputs]
    decode.reshape({k: maps[k % len(maps)] for k in range(len(decode.inputs))})
    return copies


def compiled(graph: Any, precision: str, threads: int, streams: int = 1) -> Any:
    """Compile a graph for the CPU.

    Parameters
    ----------
    graph : Model
        For any size or for one.
    precision : str
        ``"exact"``: float32. ``"fast"``: bfloat16.
    threads : int
        As many are used.
    streams : int
        So many inputs can be computed side by side, each by its share of the threads; the outputs
        are the same.
    """
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "fast" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        # A thread that is bound to a core waits for the other programs there.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino.Core().compile_model(graph, "CPU", settings)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two outputs, as a share of the range of the second."""
    if found.shape != expected.shape:
        return float("inf")
    gap = float(np.abs(found.astype(np.float64) - expected).max())
    return gap / max(float(np.ptp(expected)), 1e-6)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
