"""Choose the runtime of a job, and prepare a faster one for later jobs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import src_models

from ..checkpoints import CheckpointInfo
from ..errors import Cancelled
from ..runtime import Stop, apart, devices, graphs, memory_format, tuning, wait_for
from .progress import Progress
from .request import SegmentRequest
from .runtimes import OpenVinoRuntime, Precision, Runtime, TorchRuntime

if TYPE_CHECKING:
    from torch import nn

EXPORTING = "Preparing the network for OpenVINO, once, half a minute or less …"


@dataclass
class RuntimeChoice:
    """The runtimes of a network that is in memory.

    Parameters
    ----------
    network : Module
        In evaluation mode and folded.
    info : CheckpointInfo
        Card of its checkpoint.
    checkpoint : Path
        Folder of the checkpoint.
    folder : Path
        The user's data folder.
    """

    network: nn.Module
    info: CheckpointInfo
    checkpoint: Path
    folder: Path
    _openvino: OpenVinoRuntime | None = None
    _seconds: float = 0.0
    _tuned: bool = False
    _told: set[str] = field(default_factory=set)

    def choose(
        self, request: SegmentRequest, stop: Stop
    ) -> Generator[Progress, None, tuple[Runtime, list[str]]]:
        """Choose what computes a job.

        ``"auto"`` never waits: it takes OpenVINO if the network's graph is there. ``"openvino"``
        exports the network first if need be.

        Parameters
        ----------
        request : SegmentRequest
            With the device that is used.
        stop : callable
            Ends waiting once it returns True.

        Yields
        ------
        Progress
            Before a wait.

        Returns
        -------
        runtime : Runtime
            Of the whole job.
        notices : list of str
            Why it is another one than was asked for; each is given once.

        Raises
        ------
        Cancelled
            If `stop` returned True.
        """
        problem = self._problem(request)
        if request.runtime == "openvino" and not problem and not self._graphs.holds(self.info):
            yield Progress(EXPORTING)
            problem = self._export(request.device, stop)
        if self._wanted(request) and not problem and self._graphs.holds(self.info):
            try:
                return self._read(self._precision(request), stop), self._slow(request)
            except (OSError, RuntimeError) as error:  # a damaged file
                self._graphs.forget(self.info)
                problem = f"its graph cannot be read: {str(error)[:200]}"
        notices = []
        if request.runtime == "openvino":
            notices.append(f"OpenVINO was not used: {problem}. torch computed this.")
        elif request.precision == "fast":
            reason = problem or "the network is not prepared for it yet"
            notices.append(
                f"Precision fast needs OpenVINO, which was not used: {reason}. This was computed "
                "exactly."
            )
        return TorchRuntime(self.network), self._once(notices)

    def computed(self, request: SegmentRequest, seconds: float) -> None:
        """Note how long torch computed; once tuning pays, it starts in a process of its own.

        Parameters
        ----------
        request : SegmentRequest
            As the user made it, with the device that was used.
        seconds : float
            Of this job.
        """
        self._seconds += seconds
        if self._tuned or self._seconds < tuning.PAYS_AFTER:
            return
        self._tuned, device = True, request.device
        graph = self._wanted(request) and not self._problem(request)
        graph = graph and not self._graphs.holds(self.info)
        if graph or memory_format.remembered(self.folder, self.info, device) is None:
            with suppress(OSError):
                tuning.start(self.folder, self.checkpoint, device, graph)

    @property
    def _graphs(self) -> graphs.GraphCache:
        return graphs.GraphCache(self.folder / graphs.FOLDER)

    def _problem(self, request: SegmentRequest) -> str:
        """Return why OpenVINO cannot run a request; empty if nothing is known."""
        levels = src_models.card(self.info.network).pruning_levels
        if request.pruning_level not in (None, *levels[-1:]):
            return "it runs the whole network, not a pruned one"
        if request.ensemble == "heads":
            return "it runs one head of a network"
        known = graphs.obstacle(self.info, request.device)
        return known or self._graphs.refusal(self.info)

    def _wanted(self, request: SegmentRequest) -> bool:
        """Whether OpenVINO is to compute a request if it can.

        Networks with a scan are faster with torch unless OpenVINO computes in bfloat16.
        """
        if request.runtime != "auto":
            return request.runtime == "openvino"
        scans = src_models.card(self.info.network).uses_scan
        return not scans or self._precision(request) == "fast"

    def _precision(self, request: SegmentRequest) -> Precision:
        """Return what OpenVINO computes a request in."""
        if getattr(self.network, "exact_only", False):
            return "exact"
        if request.precision == "auto":
            wanted: Precision = "fast" if src_models.card(self.info.network).bfloat16 else "exact"
        else:
            wanted = request.precision
        return wanted if devices.fast_bfloat16("cpu") else "exact"

    def _export(self, device: str, stop: Stop) -> str:
        """Export the network; return why that failed, or an empty string."""
        try:
            process = tuning.start(self.folder, self.checkpoint, device, graph=True)
        except OSError as error:
            return f"the process that exports it cannot start: {error}"
        if not apart.wait(process, stop):
            raise Cancelled
        if self._graphs.holds(self.info):
            return ""
        return self._graphs.refusal(self.info) or "exporting the network failed"

    def _read(self, precision: Precision, stop: Stop) -> OpenVinoRuntime:
        import torch

        if self._openvino is None or self._openvino.precision != precision:
            parts = wait_for(lambda: self._graphs.read(self.info), stop)
            threads = torch.get_num_threads()
            self._openvino = OpenVinoRuntime(self.network, parts, precision, threads)
        return self._openvino

    def _slow(self, request: SegmentRequest) -> list[str]:
        if request.precision != "fast" or self._precision(request) == "fast":
            return []
        lacks = "This network does not run in bfloat16"
        if not devices.fast_bfloat16("cpu"):
            lacks = "This processor has no instructions for bfloat16"
        return self._once([f"{lacks}, so this was computed exactly."])

    def _once(self, notices: list[str]) -> list[str]:
        new = [notice for notice in notices if notice not in self._told]
        self._told.update(new)
        return new
