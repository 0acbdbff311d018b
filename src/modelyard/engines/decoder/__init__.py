"""The decoding engine: nets that answer step by step (text-generation, translation), on ONNX Runtime and NumPy.

The graphs are of one step and know nothing of requests (types/decoder.py); the loop, the drawing and the beams are
those of engines/stepping.

    generator.py  the contract, and how likely texts are
    graphs.py     decoder.json and its graphs, opened
    batch.py      states of sequences that are computed together
"""

from modelyard.engines.decoder.generator import create as create
