"""llama.cpp's own server, alone in a process: the one inside xllamacpp, over HTTP and nothing of ours.

usage: llama_server.py MODEL --slots N --context TOKENS --threads N --together N --batch TOKENS

Prints its address once it answers, and ends with its standard input.
"""

import argparse
import sys

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("slots", "context", "threads", "together", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = given.model
    settings.n_parallel = given.slots
    settings.n_ctx = given.slots * given.context  # it is split across the slots
    settings.n_batch = settings.n_ubatch = given.batch
    settings.cpuparams.n_threads = given.threads
    settings.cpuparams_batch.n_threads = given.together  # prompts, and several sequences at a time
    settings.cache_ram_mib = 0
    settings.verbosity = 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
