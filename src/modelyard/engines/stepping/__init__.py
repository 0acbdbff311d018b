"""Answers token by token, for engines that compute a step of many sequences at a time: one loop, one sampler.

generator.py    the contract: requests from the event loop, pieces back to it
loop.py         the compute thread: one step of all sequences after the other
batch.py        what an engine brings: states of sequences that are computed together
sequence.py     one request: its tokens, its text, its end
beams.py        one request that several sequences are kept for: beam search
sampling.py     logits into a token
constraints.py  which tokens a JSON schema or a regular expression allows
"""
