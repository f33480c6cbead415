"""What a job is asked to do: every setting that changes a result, and nothing else.

The panel, the shell and Python build the same frozen objects, so that they cannot disagree.
"""

from __future__ import annotations
