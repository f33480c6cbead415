"""Run the ``seglite`` command by ``python -m napari_seglite``."""

import sys

from .cli import main

sys.exit(main())
