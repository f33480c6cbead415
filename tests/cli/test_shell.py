"""What every command has in common: its output, its errors and its end."""

import io
import logging
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import tifffile

from napari_seglite.cli import main, reported
from napari_seglite.errors import ImageError
from napari_seglite.images import Normalisation
from napari_seglite.runtime import process
from src_models import Notice

HINT = "(SEGLITE_DEBUG=1 shows where)"
posix = pytest.mark.skipif(os.name == "nt", reason="pipes and names of files are those of POSIX")


@pytest.fixture
def two_folders(tmp_path):
    """Return folders with equal labels."""
    for name in ("predictions", "truth"):
        (tmp_path / name).mkdir()
        labels = np.pad(np.ones((8, 8), np.uint8), 4)
        tifffile.imwrite(tmp_path / name / "cells_labels.tif", labels)
    return tmp_path / "predictions", tmp_path / "truth"


def unread(words, both=False, **environment):
    """Run a command whose output nobody reads; return its exit code and standard error."""
    command = [sys.executable, "-m", "napari_seglite", *map(str, words)]
    reading, writing = os.pipe()
    os.close(reading)
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command,
        stdout=writing,
        stderr=writing if both else subprocess.PIPE,
        env={**kept, **environment},
        check=False,
    )
    os.close(writing)
    return done.returncode, done.stderr


# ------------------------------------------------------------------ the end of a pipe
@posix
@pytest.mark.parametrize(
    "words", ["networks", "checkpoints --json", "segment --help", "doctor --checkpoints"]
)
def test_a_command_ends_silently_with_the_program_that_reads_its_output(words):
    assert unread(words.split()) == (141, b"")


@posix
def test_commands_that_write_files_end_silently_too(two_folders, tmp_path):
    predictions, truth = two_folders
    scores = ["evaluate", "--predictions", predictions, "--labels", truth, "--csv"]
    assert unread(scores, PYTHONUNBUFFERED="1") == (141, b"")
    export = ["export", predictions / "cells_labels.tif", "--output", tmp_path / "out", "--rois"]
    assert unread(export) == (141, b"")
    assert (tmp_path / "out" / "cells_rois.zip").is_file()
    assert unread(["evaluate", "--predictions", "nowhere", "--labels", truth], both=True)[0] == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_an_output_that_cannot_be_written_is_one_sentence():
    command = [sys.executable, "-m", "napari_seglite", "checkpoints"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, f"seglite: No space left on device {HINT}\n")


# ------------------------------------------------------------------ errors
def raising(error):
    def program():
        raise error

    return program


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (raising(ImageError("a.tif: too small.")), "a.tif: too small."),
        (raising(ValueError("one\n two")), f"unexpected ValueError: one two {HINT}"),
        (lambda: int("many"), "unexpected ValueError: invalid literal for int() with base 10: "),
        (lambda: {}["key"], f"unexpected KeyError: 'key' {HINT}"),
        (lambda: os.stat("/nowhere/a"), f"/nowhere/a: No such file or directory {HINT}"),
        (lambda: os.rename("/nowhere/a", "b"), "/nowhere/a and b: No such file or directory"),
        (lambda: np.empty(1 << 58), "there is not enough memory. Unable to allocate"),
        (raising(RuntimeError("x" * 9000)), f"unexpected RuntimeError: {'x' * 500} {HINT}"),
    ],
)
def test_every_error_is_one_sentence(capsys, program, told):
    assert reported(program) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"seglite: {told}")
    assert err.count("\n") == 1


def test_a_setting_out_of_its_range_is_told_as_it_is(capsys):
    assert reported(lambda: Normalisation(90, 10)) == 1
    err = capsys.readouterr().err
    assert err.startswith("seglite: Percentiles must be 0 <= low < high <= 100")
    assert HINT not in err


def test_the_traceback_can_be_seen(capsys, monkeypatch):
    monkeypatch.setenv("SEGLITE_DEBUG", "1")
    assert reported(lambda: {}["key"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("seglite: unexpected KeyError: 'key'")


def test_interruptions_and_exits_keep_their_codes(capsys):
    assert reported(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "seglite: interrupted\n"
    with pytest.raises(SystemExit, match="143"):
        reported(raising(SystemExit(143)))


# ------------------------------------------------------------------ what is said
def test_only_the_program_itself_speaks(capsys):
    def speak():
        warnings.warn("a library's", FutureWarning, stacklevel=1)
        warnings.warn("the program's", Notice, stacklevel=1)
        logging.getLogger("tifffile").warning("a library's")
        logging.getLogger("nibabel.global").warning("a library's")
        try:
            raise OSError("gone")
        except OSError:
            logging.getLogger("napari_seglite.annotation").exception("Not saved")
        thread = threading.Thread(target=lambda: {}["key"])
        thread.start()
        thread.join()

    import nibabel  # noqa: F401 (which prints by itself)

    with process.plain_messages():
        speak()
    assert capsys.readouterr().err == (
        "seglite: the program's\nseglite: Not saved\n"
        "seglite: unexpected KeyError beside the work: 'key'\n"
    )


def printed(text, encoding):
    """Return the bytes that a program prints on a stream of an encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="\n")
    before, sys.stdout = sys.stdout, stream
    try:
        assert reported(lambda: print(text) or 0) == 0
    finally:
        sys.stdout = before
    assert stream.errors == "strict"
    return stream.buffer.getvalue()


def test_every_name_can_be_printed():
    name = os.fsdecode("µm-€-".encode() + b"\xff") if os.name != "nt" else "µm-€-\udcff"
    assert printed(name, "utf-8") == "µm-€-".encode() + b"\xff\n"
    assert printed(name, "latin-1") == "µm-".encode("latin-1") + b"\\u20ac-\xff\n"
    assert printed(name, "ascii") == rb"\xb5m-\u20ac-" + b"\xff\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes names that are no text")
def test_files_whose_names_are_no_text_are_segmented_and_named(tmp_path, blobs, capfdbinary):
    image = os.fsencode(tmp_path) + b"/cell\xff.tif"
    tifffile.imwrite(os.fsdecode(image), blobs[0][:64, :64])
    words = [
        "--checkpoint",
        "general-unet-sharp",
        "--output",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    missing = os.fsdecode(os.fsencode(tmp_path) + b"/gone\xfe.tif")
    assert main(["segment", os.fsdecode(image), missing, *words]) == 1
    out, err = capfdbinary.readouterr()
    assert out == os.fsencode(tmp_path / "out") + b"/cell\xff_labels.tif\n"
    assert os.path.isfile(out.strip())
    assert b".tif: there is no such file" in err


def test_the_demo_says_what_to_install():
    code = "import sys\nfor name in ('napari', 'qtpy'):\n    sys.modules[name] = None\n"
    code += "from napari_seglite.cli import main\nsys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("seglite: The demo's window needs napari, qtpy, which pip")
    assert "pip install 'napari-seglite[all]'" in done.stderr
    assert done.stderr.count("\n") == 1
