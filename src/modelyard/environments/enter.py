"""`python -m modelyard.environments.enter ENVIRONMENTS DIGEST [--requirements FILE] [--fault-file FILE]
-- COMMAND...`: builds the environment where it is not there, and becomes the command.

Exit status 78 (EX_CONFIG) where it cannot be built; the fault file says why.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from modelyard.environments.build import ensure
from modelyard.environments.requirements import digest, read_file
from modelyard.environments.shelf import read_text
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.files import write_atomic

EXIT_CONFIG: Final = 78


def main() -> int:
    options = _options()
    try:
        ensure(options.environments, _text(options), lambda line: print(line, flush=True))
    except ModelyardError as error:
        print(f"the environment cannot be made: {error}", flush=True)
        if options.fault_file is not None:
            write_atomic(options.fault_file, msgspec.json.encode(error.to_dict()))
        return EXIT_CONFIG
    os.execv(options.command[0], options.command)


def _text(options: argparse.Namespace) -> str:
    if options.requirements is None:
        text = read_text(options.environments, options.digest)
    else:
        text = read_file(options.requirements)
    if digest(text) != options.digest:
        raise InvalidInput("the environment is one of another Python or another kind of machine")
    return text


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelyard.environments.enter")
    parser.add_argument("environments", type=Path)
    parser.add_argument("digest")
    parser.add_argument("--requirements", type=Path)
    parser.add_argument("--fault-file", type=Path)
    place = sys.argv.index("--")
    return parser.parse_args(sys.argv[1:place], argparse.Namespace(command=sys.argv[place + 1 :]))


if __name__ == "__main__":
    sys.exit(main())
