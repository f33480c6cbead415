"""Find out in a process of its own how a network runs fastest on this computer.

The process measures the memory format and exports the graph for OpenVINO, and leaves both on disk
for later runs. It has the lowest priority: neither a window nor a segmentation waits for it, and
its memory goes with it.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from . import memory_format
from .graphs import FOLDER, GraphCache
from .stopping import Stop

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoints import CheckpointInfo

# Seconds of computing by torch after which tuning pays: it takes about as long.
PAYS_AFTER = 20.0
_CODE = "from napari_seglite.runtime import tuning; tuning.main()"
_processes: dict[str, subprocess.Popen[bytes]] = {}
_lock = Lock()


def start(folder: Path, checkpoint: Path, device: str, graph: bool) -> subprocess.Popen[bytes]:
    """Start tuning a checkpoint's network, unless this program did before.

    Parameters
    ----------
    folder : Path
        The user's data folder: of the measurements, and of `graphs.FOLDER`.
    checkpoint : Path
        Folder of the checkpoint.
    device : str
        As `devices.resolve` returns it.
    graph : bool
        Whether to export the graph, too.

    Returns
    -------
    Popen
        The process, which may have ended; it is ended with this program.

    Raises
    ------
    OSError
        If no process can be started.
    """
    import torch

    if "python" not in Path(sys.executable or "").name.lower():
        raise OSError("this program brings no Python interpreter of its own")
    facts = {
        "folder": str(folder.absolute()),
        "checkpoint": str(checkpoint.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "graph": graph,
    }
    text = json.dumps(facts, sort_keys=True)
    with _lock:
        if text not in _processes:
            path = os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))
            _processes[text] = subprocess.Popen(
                [sys.executable, "-P", "-c", _CODE, text],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=_hidden(),
            )
        return _processes[text]


def wait(process: subprocess.Popen[bytes], stop: Stop) -> bool:
    """Wait until a process ends, or `stop` returns True; return whether it ended.

    Parameters
    ----------
    process : Popen
        As `start` returns it; it goes on if the wait is stopped.
    stop : callable
        Asked several times a second.
    """
    while True:
        if stop():
            return False
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return True


def main() -> None:
    """Tune the network that the command line names; for the process that `start` starts."""
    import torch

    from src_models.folding import fold

    from ..checkpoints import CheckpointStore
    from . import devices

    if hasattr(os, "nice"):
        os.nice(19)
    facts = json.loads(sys.argv[1])
    torch.set_num_threads(facts["threads"])
    folder, device = Path(facts["folder"]), facts["device"]
    info, network = CheckpointStore().load(facts["checkpoint"])
    network = devices.place(fold(network.eval()), device)
    if facts["graph"]:
        add_graph(GraphCache(folder / FOLDER), info, network)
    if memory_format.remembered(folder, info, device) is None:
        memory_format.measure(folder, info, network, device)


def add_graph(graphs: GraphCache, info: CheckpointInfo, network: nn.Module) -> None:
    """Export a network, or remember why it cannot be exported.

    Parameters
    ----------
    graphs : GraphCache
        Gets the graph or the reason.
    info : CheckpointInfo
        Card of the network's checkpoint.
    network : Module
        On the CPU, in evaluation mode and folded.
    """
    from .exporting import export

    try:
        with graphs.adding(info) as path:
            export(network, info, path)
    except OSError:
        return  # of the folder: another run may succeed
    except Exception as error:  # whatever torch and OpenVINO raise for what they do not know
        graphs.refuse(info, f"it cannot be exported: {str(error)[:300] or type(error).__name__}")


@atexit.register
def _end_all() -> None:
    for process in _processes.values():
        process.kill()


def _hidden() -> int:
    """Return the flags that start a process without a window and with the lowest priority."""
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NO_WINDOW | subprocess.IDLE_PRIORITY_CLASS
