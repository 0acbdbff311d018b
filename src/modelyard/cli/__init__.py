"""The command line: commands parse and print, the client does the rest."""

import sys


def main(arguments: list[str] | None = None) -> None:
    """`yard`. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from modelyard.cli.app import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
