"""Commands and code in the README and the documentation are as the program is."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

from napari_seglite.cli import build_parser
from napari_seglite.widgets import sample_data

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEW = ("tutorials", "how-to", "reference", "explanation")


def blocks(page, language):
    """Return the code blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def lines(page):
    """Return the lines of a page's shell blocks that call ``seglite``."""
    shell = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in shell if line.startswith("seglite ")]


def named(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if lines(page)], ids=named)
def test_commands_are_understood(page):
    parser = build_parser()
    for line in lines(page):
        words = shlex.split(line, comments=True)[1:]
        if words == ["--version"]:  # which ends the program
            continue
        parser.parse_args(words)


def test_the_pages_for_the_shell_have_commands():
    with_commands = {page.name for page in PAGES if lines(page)}
    assert {"README.md", "batch.md", "command-line.md", "move-a-project.md"} <= with_commands


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=named)
def test_python_is_valid(page):
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


def run(code, folder):
    """Run code in a folder, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def environment(folder):
    return {**os.environ, "PYTHONPATH": str(ROOT), "SEGLITE_DATA": str(folder / "data")}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the files that the pages name, small ones."""
    image = sample_data.load("fluorescence")[0][:64, :96]
    tifffile.imwrite(tmp_path / "cells.tif", image)
    tifffile.imwrite(tmp_path / "cells_labels.tif", (image > 30).astype("uint8"))
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "one.tif", image)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "written"), [("README.md", "cells"), ("docs/how-to/batch.md", "one")]
)
def test_segmenting_from_python_works(page, written, folder):
    (code,) = blocks(ROOT / page, "python")
    (folder / "cells_labels.tif").unlink()
    run(code, folder)
    assert tifffile.imread(folder / f"{written}_labels.tif").max() > 0


def test_fine_tuning_from_python_works(folder):
    (code,) = blocks(ROOT / "docs" / "how-to" / "my-network.md", "python")
    short = code.replace("steps=400", "steps=2, patch=32").replace("batch=8", "batch=2")
    assert short != code
    assert "Dice" in run(short, folder)


def test_links_of_the_readme_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_the_readme_begins_with_both_commands():
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert any(line.startswith("make demo ") for line in first)
    command = next(line for line in first if line.startswith("make test "))
    called = (ROOT / ".ci" / "run").read_text().split("exec ")[1].strip()
    assert command.startswith(called)


def test_pictures_are_used_and_no_page_loads_from_elsewhere():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (ROOT / "docs" / "images").rglob("*.png"):
        assert picture.name in text, picture
    assert not re.findall(r"!\[[^\]]*\]\(https?:", text)


def test_the_reference_names_every_command():
    code = "from scripts import docs_pages; print(docs_pages.commands())"
    text = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    text = text.stdout
    commands = next(a for a in build_parser()._actions if a.choices).choices
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(commands)
    assert "--split-depth" in text


def test_the_reference_explains_the_controls():
    code = "from scripts import docs_pages; print(docs_pages.controls())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| **")]
    names = [row.split("**")[1] for row in rows]
    for expected in ("Checkpoint", "Split depth", "Accept", "Time limit", "Segment files"):
        assert expected in names
    for row in rows:
        assert len(row.split(" | ")[1]) > 10, row
        assert not re.search("None|white-space| 0 layers", row), row
