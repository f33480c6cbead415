"""The options of another computer, for ``seglite segment`` and ``seglite fine-tune``."""

from __future__ import annotations

import argparse

from ..remote import Connection, read_address


def add_remote(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group(
        "another computer", "The network runs there; files stay here. See docs/clusters.md."
    )
    group.add_argument(
        "--remote",
        metavar="ADDRESS",
        help="a Dask scheduler, such as tls://gpu-room:8786, or tcp://localhost:8786 for an SSH "
        "tunnel",
    )
    group.add_argument("--tls-ca", metavar="FILE", default="", help="certificate of the CA, PEM")
    group.add_argument("--tls-cert", metavar="FILE", default="", help="your certificate, PEM")
    group.add_argument("--tls-key", metavar="FILE", default="", help="your private key, PEM")
    group.add_argument(
        "--unencrypted",
        action="store_true",
        help="agree to a tcp:// address of another computer, which anybody in the network can read",
    )


def connection_to(arguments: argparse.Namespace) -> Connection | None:
    """Return a connection to the computer that was named; None for this one.

    Raises
    ------
    RemoteError
        If the address cannot be used.
    """
    if arguments.remote is None:
        return None
    files = arguments.tls_ca, arguments.tls_cert, arguments.tls_key
    return Connection(read_address(arguments.remote, *files, unencrypted=arguments.unencrypted))
