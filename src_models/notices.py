"""The warnings that are meant for the user, told apart from those of libraries."""

from __future__ import annotations


class Notice(UserWarning):
    """A warning whose message is a sentence for the user; applications show it as it is."""
