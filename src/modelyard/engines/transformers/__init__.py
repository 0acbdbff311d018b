"""The transformers engine: any causal language model that transformers' auto classes open without code of its own.

The fallback for what llama.cpp and OpenVINO do not run, in float32. It batches by a loop of its own: transformers'
ContinuousBatchingManager (5.23) knows no seeds, penalties, biases, constraints or log probabilities of one request.

    generator.py    opened, and handed to engines/stepping
    loading.py      a Hugging Face folder into a model, with the adapter beside it
    batch.py        keys and values of sequences that are computed together
"""

from modelyard.engines.transformers.generator import create as create
