"""``python -m napari_seglite`` is the ``seglite`` command."""

import sys

from .cli import main

sys.exit(main())
