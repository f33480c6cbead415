"""How Sphinx builds the documentation: ``make docs``, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the documentation of this copy, whatever is installed

import napari_seglite  # noqa: E402

project = "SegLite"
author = "SegLite developers"
copyright = "SegLite developers"
release = version = napari_seglite.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
]

# Headings to the fourth level are targets of links, and a link without a target is an error.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["config.cache"]

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name the types
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False  # autodoc shows them
numpydoc_class_members_toctree = False
# A name in single backticks is a link where it can be one.
default_role = "autolink"

# Nothing is loaded from other servers when the site is read: no fonts, scripts or badges.
html_theme = "pydata_sphinx_theme"
html_title = "SegLite"
html_static_path = ["_static"]
html_css_files = ["seglite.css"]
html_js_files = ["seglite.js"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "SegLite"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 7,
}
html_sidebars = {"index": []}


@cache
def from_program(what: str) -> str:
    """Return what `scripts/docs_pages.py` prints, in a process of its own for Qt's sake."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / "docs_pages.py"), what]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def fill_in(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put what the program says of itself into the pages that ask for it."""
    for what in ("commands", "controls"):
        mark = f"<!-- from the program: {what} -->"
        if mark in content[0]:
            content[0] = content[0].replace(mark, from_program(what))


def setup(app: Sphinx) -> None:
    """Connect Sphinx's events."""
    app.connect("source-read", fill_in)
