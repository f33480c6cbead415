"""Several processes that compute the gradients of each step together, each on its own device.

The leader trains as it would alone. Before each step it hands its weights and the patches to the
followers; each process computes the gradients of its share of the patches, and the leader goes on
with their mean. Followers keep nothing between two steps, so that a run is scored, saved, stopped
and continued by its leader alone, and a saved run goes on with any number of processes. That fits
light networks, whose weights take less time to send than a step takes to compute.

Lightning Fabric finds the devices, joins the processes, also those that ``torchrun`` started, and
moves the data.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..checkpoints import CheckpointInfo
from ..errors import Cancelled, DeviceError
from ..runtime import devices
from .batch_loss import keep_norms_fixed, loss_of_batch

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric
    from torch import nn

    from .patches import Batch

LOST = (
    "A process that trains along ended. What was learnt up to the last saved state is kept: start "
    "the same run again, with any number of devices, and it goes on from there."
)
FOLLOW = f"import sys; from {__name__} import main; sys.exit(main())"
# Followers wait while the leader scores and saves.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Task:
    """What the leader hands to every process for a step; the weights lie on the CPU."""

    info: CheckpointInfo
    weights: dict[str, torch.Tensor]
    batch: Batch
    bfloat16: bool
    frozen_norm: bool
    seed: int


class Team:
    """The processes of a run.

    Parameters
    ----------
    fabric : Fabric
        Launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    @property
    def leads(self) -> bool:
        """Whether this process is the leader."""
        return bool(self._fabric.is_global_zero)

    @property
    def device(self) -> str:
        """The device of this process, such as ``"cuda"`` or ``"cpu"``."""
        name = str(self._fabric.device)
        return "cuda" if name == "cuda:0" else name

    # ------------------------------------------------------------------ the leader
    def gradients(self, network: nn.Module, task: Task, loss: Callable[[Batch], Any]) -> float:
        """Leave the mean gradients of a batch in a network, and return its mean loss.

        Parameters
        ----------
        network : Module
            The leader's, without gradients.
        task : Task
            For the followers.
        loss : callable
            Returns the loss of a share of the batch.

        Raises
        ------
        MemoryError
            If a follower has too little memory for its share.
        DeviceError
            If a process ended.
        """
        self._broadcast(task)
        return self._together(network, task.batch, loss)

    def dismiss(self) -> None:
        """Let the followers end."""
        self._broadcast(None)

    # ------------------------------------------------------------------ a follower
    def follow(self) -> None:
        """Compute gradients until the leader is done."""
        network, built = None, None
        while (task := self._broadcast(None)) is not None:
            if network is None or task.info != built:
                network, built = devices.place(task.info.build(), self.device), task.info
            self._work(network, task)

    def _work(self, network: nn.Module, task: Task) -> None:
        import torch

        network.load_state_dict(task.weights)
        network.train().zero_grad(set_to_none=True)
        if task.frozen_norm:
            keep_norms_fixed(network)
        torch.manual_seed(task.seed + self._fabric.global_rank)

        def loss(share: Batch) -> torch.Tensor:
            return loss_of_batch(network, task.info, share, self.device, task.bfloat16)

        try:
            self._together(network, task.batch, loss)
        except MemoryError:
            devices.release(self.device)

    # ------------------------------------------------------------------ all
    def _together(self, network: nn.Module, batch: Batch, loss: Callable[[Batch], Any]) -> float:
        """Compute the gradients of this process's share, and exchange them for the mean of all."""
        import torch

        share = self._share(batch)
        value, failure = 0.0, None
        try:
            if count := len(share[0]):
                result = loss(share)
                value = float(result.detach())
                if math.isfinite(value):
                    result.backward()
        except (RuntimeError, MemoryError, Cancelled) as error:
            # The others wait for the sum, so that it is made in any case.
            failure = error
        parameters = list(network.parameters())
        sums = torch.zeros(sum(p.numel() for p in parameters) + 3, device=self._fabric.device)
        if failure is None:
            whole = [p.new_zeros(p.numel()) if p.grad is None else p.grad for p in parameters]
            sums[:-3] = torch.cat([g.reshape(-1).float() for g in whole]) * count
            sums[-3], sums[-2] = value * count, count
        else:
            sums[-1] = 1
        sums = self._sum(sums)
        if failure is not None:
            if isinstance(failure, RuntimeError) and devices.out_of_memory(failure):
                raise MemoryError(str(failure)) from failure
            raise failure
        if sums[-1]:
            raise MemoryError("A process that trains along has too little memory.")
        sums /= sums[-2].clone()
        pieces = sums[:-3].split([p.numel() for p in parameters])
        for parameter, mean in zip(parameters, pieces, strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(mean.view_as(parameter))
        return float(sums[-3])

    def _share(self, batch: Batch) -> Batch:
        """Return this process's patches; the leader has at least one."""
        size, rank = self._fabric.world_size, self._fabric.global_rank
        frames, labels, weight, wanted = (
            None if each is None else each.tensor_split(size)[rank] for each in batch
        )
        assert frames is not None
        assert labels is not None
        return frames, labels, weight, wanted

    def _broadcast(self, task: Task | None) -> Task | None:
        received: Task | None = self._checked(lambda: self._fabric.broadcast(task))
        return received

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self._checked(
            lambda: self._fabric.all_reduce(values, reduce_op="sum")
        )
        return total

    @staticmethod
    def _checked(exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except RuntimeError as error:
            raise DeviceError(LOST) from error


# ---------------------------------------------------------------------- processes
@contextmanager
def joined_team(count: int, device: str = "auto") -> Iterator[Team]:
    """Start followers, or join those that ``torchrun`` started; let them end with the context.

    Parameters
    ----------
    count : int
        Processes, the leader included; each has a device of its own, or its share of the CPU's
        cores. Under ``torchrun`` its number counts.
    device : str
        ``"cuda"``, ``"cpu"`` or ``"auto"``.

    Raises
    ------
    DeviceError
        If this computer has too few devices of the kind, or Lightning Fabric is missing.
    """
    kind = _kind(count, device)
    with nullcontext() if under_torchrun() else _followers(count, kind):
        members = _launched(count, kind)
        try:
            yield members
        finally:
            if members.leads:
                _dismiss(members)


def under_torchrun() -> bool:
    """Whether ``torchrun`` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _kind(count: int, device: str) -> str:
    """Return ``"cuda"`` or ``"cpu"``, if training on several devices is possible here."""
    if find_spec("lightning_fabric") is None:
        raise DeviceError(
            'Training on several devices needs an extra: pip install "napari-seglite[cluster]".'
        )
    kind = devices.resolve(device).split(":")[0]
    if kind == "mps":
        raise DeviceError("Apple's GPU cannot share a training with others: leave out --devices.")
    found = [name for name in devices.available() if name.startswith("cuda")]
    if kind == "cuda" and not under_torchrun() and len(found) < count:
        raise DeviceError(
            f"This computer has {len(found)} CUDA devices, not {count}. Choose fewer, or "
            "--device cpu, where each process gets its share of the cores."
        )
    return kind


def _launched(count: int, kind: str) -> Team:
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if under_torchrun() else count
    nodes = int(os.environ["WORLD_SIZE"]) // here if under_torchrun() else 1
    fabric = Fabric(
        accelerator=kind,
        devices=here,
        num_nodes=nodes,
        strategy=DDPStrategy(timeout=PATIENCE),
        precision="32-true",
    )
    fabric.launch()
    if kind == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // here))
    return Team(fabric)


@contextmanager
def _followers(count: int, kind: str) -> Iterator[None]:
    """Start all processes but this one, which the environment makes the first of them."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    command = [sys.executable, "-P", "-c", FOLLOW, str(count), kind]
    started = [
        subprocess.Popen(command, env=os.environ | meeting | {"LOCAL_RANK": str(rank)})
        for rank in range(1, count)
    ]
    own = meeting | {"LOCAL_RANK": "0"}
    os.environ |= own
    try:
        yield
    finally:
        for process in started:
            _end(process)
        for name in own:
            del os.environ[name]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _dismiss(members: Team) -> None:
    import torch

    with suppress(DeviceError):  # one of them ended before
        members.dismiss()
    torch.distributed.destroy_process_group()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def follow(members: Team) -> int:
    """Follow until the leader is done; returns an exit status."""
    try:
        members.follow()
    except DeviceError:  # the leader ended, and says why
        return 1
    return 0


def main() -> int:
    """Be a follower of the process that started this one."""
    return follow(_launched(int(sys.argv[1]), sys.argv[2]))
