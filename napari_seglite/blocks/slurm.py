"""Slurm: a script of job arrays that work through the blocks, and its submission."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import SegliteError
from ..formats import is_remote
from .ledger import Step

# An option of sbatch, as users write it: partition=gpu, time=02:00:00, gres=gpu:1.
_OPTION = re.compile(r"(?:--)?([a-z][a-z-]*)(?:=([^\s\"'`$;&|<>\\]+))?")
# Between the notice and the end of a job, so that it is queued again before its time is up.
_GRACE = 120


def array_script(output: str, steps: Sequence[Step], parts: int, options: str) -> str:
    """Return a shell script that submits the steps of a job as Slurm arrays.

    A job that runs out of time is queued again and goes on with the blocks that are left.

    Parameters
    ----------
    output : str
        Place of the labels, whose ledger is written.
    steps : sequence of str
        See `Ledger.steps`.
    parts : int
        Jobs of an array.
    options : str
        Of sbatch, such as ``"partition=gpu time=02:00:00 gres=gpu:1"``.

    Raises
    ------
    SegliteError
        If the options cannot be read.
    """
    chosen = []
    for word in options.split():
        option = _OPTION.fullmatch(word)
        if option is None:
            raise SegliteError(f"--slurm takes options of sbatch as NAME=VALUE, not {word!r}.")
        name, value = option.groups()
        chosen.append(f"--{name}" + (f"={value}" if value else ""))
    merge = shlex.join([sys.executable, "-m", "napari_seglite", "merge", _absolute(output)])
    lines = ["#!/bin/sh", "set -e", f"options={shlex.quote(' '.join(chosen))}", ""]
    after = ""
    for step in steps:
        command, jobs = f"{merge} --step {step}", 0
        if step != "number":
            command, jobs = f'{command} --part "$SLURM_ARRAY_TASK_ID/{parts}"', parts
        lines += _job(step, command, jobs, after)
        after = step
    lines += _job("complete", merge, 0, after)
    return "\n".join(lines)


def _absolute(output: str) -> str:
    return output if is_remote(output) else str(Path(output).absolute())


def _job(step: str, command: str, parts: int, after: str) -> list[str]:
    """Return the lines that submit a step."""
    array = f" --array=1-{parts}" if parts else ""
    waits = f' --dependency="afterok:${after}"' if after else ""
    script = "\n".join(
        [
            "#!/bin/sh",
            # The step goes on after the notice until it is requeued, which ends it.
            "trap 'scontrol requeue \"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
            "${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}\"' USR1",
            f"{command} &",
            "worker=$!",
            # A signal ends `wait` early; then it waits again.
            'wait "$worker"; status=$?',
            'while kill -0 "$worker" 2>/dev/null; do wait "$worker"; status=$?; done',
            "exit $status",
        ]
    )
    return [
        f"{step}=$(sbatch --parsable --requeue --signal=B:USR1@{_GRACE}{array}{waits} \\",
        f"  --job-name=seglite-{step} $options <<'END'",
        script,
        "END",
        ")",
        f'echo "{step}: job ${step}"',
        "",
    ]


def submit(script: str, path: Path) -> str:
    """Write a script, run it where there is ``sbatch``, and return what to tell the user.

    Parameters
    ----------
    script : str
        As `array_script` returns it.
    path : Path
        For the script.

    Raises
    ------
    SegliteError
        If the script cannot be written, or Slurm refuses it.
    """
    try:
        path.write_text(script, "utf-8")
    except OSError as error:
        raise SegliteError(f"{path}: the script cannot be written ({error.strerror}).") from error
    if shutil.which("sbatch") is None:
        return (
            f"There is no sbatch on this computer, so nothing was submitted. Run sh {path} where "
            "there is."
        )
    found = subprocess.run(["sh", str(path)], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SegliteError(f"Slurm refused {path}: {(found.stderr or found.stdout).strip()[:500]}")
    return found.stdout.strip()
