"""`python -m modelyard.trust.inspection PATH [--name N] [--unpack FOLDER] [--format F]`: one JSON line, then
the end.

{"inspection": ...} with status 0, or {"error": {"code", "message"}} with status 1.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from modelyard.errors import ModelyardError, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.source import inspect


def main() -> int:
    parser = argparse.ArgumentParser(prog="modelyard.trust.inspection", description="What a model's file is.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--unpack", type=Path)
    parser.add_argument("--format")
    options = parser.parse_args()
    try:
        found = inspect(options.path, options.name, unpack=options.unpack, wanted=options.format)
    except ModelyardError as error:
        return _refused(error)
    except MemoryError:
        return _refused(TooLarge("the file needs more memory than its inspection may use"))
    except (OSError, RecursionError, ValueError) as error:
        return _refused(NotAllowedFormat("the file cannot be inspected", came=type(error).__name__))
    print(msgspec.json.encode({"inspection": found}).decode())
    return 0


def _refused(error: ModelyardError) -> int:
    print(msgspec.json.encode({"error": error.to_dict()}).decode())
    return 1


if __name__ == "__main__":
    sys.exit(main())
