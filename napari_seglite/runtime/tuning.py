"""Find out in a process of its own how a network runs fastest on this computer.

The process measures the memory format and exports the graph for OpenVINO, and leaves both on disk
for later runs. It has the lowest priority: neither a window nor a segmentation waits for it, and
its memory goes with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import apart, memory_format
from .graphs import FOLDER, GraphCache

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoints import CheckpointInfo

# Seconds of computing by torch after which tuning pays: it takes about as long.
PAYS_AFTER = 20.0
_CODE = "from napari_seglite.runtime import tuning; tuning.main()"


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

    facts = {
        "folder": str(folder.absolute()),
        "checkpoint": str(checkpoint.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "graph": graph,
    }
    return apart.start(_CODE, json.dumps(facts, sort_keys=True), lowest=True)


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
