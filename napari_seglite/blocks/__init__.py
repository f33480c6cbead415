"""Segment an image block by block, by many processes and on many computers.

Start reading at `prepare`, which cuts an image into blocks and writes the ledger, and `run`, which
does the steps of every block. How a part of an image is predicted is in `inference`, how pixels
become objects in `labels`, and how labels are stored in `formats`.
"""

from .api import segment
from .cut import Cut
from .drivers import DaskCluster, LocalProcesses, connect
from .ledger import BATCH, STEPS, Job, Ledger, Step
from .merging import Numbered, agreeing, numbered
from .plan import Blocks, prepare
from .run import BlockProgress, Driver, check_ready, here, run, run_step
from .slurm import array_script, submit
from .tables import pack
from .work import number_all, work

__all__ = [
    "BATCH",
    "STEPS",
    "BlockProgress",
    "Blocks",
    "Cut",
    "DaskCluster",
    "Driver",
    "Job",
    "Ledger",
    "LocalProcesses",
    "Numbered",
    "Step",
    "agreeing",
    "array_script",
    "check_ready",
    "connect",
    "here",
    "number_all",
    "numbered",
    "pack",
    "prepare",
    "run",
    "run_step",
    "segment",
    "submit",
    "work",
]
