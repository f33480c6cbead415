"""Carry the libraries that a bare machine lacks, as wheels in a folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

# What the engine imports beyond PyTorch, NumPy, SciPy, scikit-image, safetensors, Numba, pandas and
# psutil. pydantic fits only one version of pydantic-core, so pip has to resolve these.
RESOLVED = ("pydantic", "pydantic-extra-types")
ALONE = (
    "donfig",
    "google-crc32c",
    "monai",
    "numcodecs",
    "platformdirs",
    "pyyaml",
    "tifffile",
    "zarr",
)
# A wheel for an older glibc runs on a newer one; pip must be told each name.
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def download(folder: Path, python: str = "3.12", platforms: tuple[str, ...] = PLATFORMS) -> None:
    """Download the wheels for another machine.

    Parameters
    ----------
    folder : Path
        Gets the wheels.
    python : str
        Its Python, such as ``"3.12"``.
    platforms : tuple of str
        Its platform tags.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails; it has said why.
    """
    words = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "-d", str(folder)]
    words += ["--python-version", python, "--implementation", "cp"]
    for tag in (f"cp{python.replace('.', '')}", "abi3", "none"):
        words += ["--abi", tag]
    for tag in platforms:
        words += ["--platform", tag]
    subprocess.run([*words, *RESOLVED], check=True)
    subprocess.run([*words, "--no-deps", *ALONE], check=True)


def unpack(wheels: Path, folder: Path) -> None:
    """Unpack wheels into a folder that is to be put on Python's path.

    Parameters
    ----------
    wheels : Path
        Folder of ``*.whl`` files.
    folder : Path
        Gets the packages.

    Raises
    ------
    FileNotFoundError
        If there is no wheel.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise FileNotFoundError(f"There is no wheel in {wheels}.")
    for wheel in found:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
