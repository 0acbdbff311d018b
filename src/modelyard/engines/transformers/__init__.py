"""The transformers engine: any causal language model that transformers' auto classes open without code of its own.

The fallback for what llama.cpp and OpenVINO do not run, in float32. It batches by a loop of its own: transformers'
ContinuousBatchingManager (5.23) knows no seeds, penalties, biases, constraints or log probabilities of one request.

    generator.py    the contract: requests from the event loop, pieces back to it
    loading.py      a Hugging Face folder into a model, with the adapter beside it
    loop.py         the compute thread: one step of all sequences after the other
    batch.py        keys and values of sequences that are computed together
    sequence.py     one request: its tokens, its text, its end
    sampling.py     logits into a token
    constraints.py  which tokens a JSON schema or a regular expression allows
"""

from modelyard.engines.transformers.generator import create as create
