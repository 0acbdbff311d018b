"""Causal language models into OpenVINO IR: what is asked of the process that does it, and the environment it needs.

optimum-intel 2.2 exports with transformers up to 4.57, which is older than the platform's: hence an environment.
"""

from typing import Final

from msgspec import Struct

from modelyard.engines.replying import PROMPTS as PROMPTS_OF_REPLIES
from modelyard.packages.replies import Reply

REQUIREMENTS: Final = """\
accelerate>=1.15
gguf>=0.19
nncf==3.4.0
openvino-tokenizers>=2026.4
openvino>=2026.4
optimum-intel==2.2.0
optimum==2.3.0
tokenizers>=0.22,<0.23
torch==2.13.0
transformers==4.57.6
"""
RESULT: Final = "result.json"
FOLDER: Final = "openvino"
ENTRY: Final = f"{FOLDER}/openvino_model.xml"
FORMAT: Final = "openvino-genai"
TOLERANCE: Final = 0.4
"""How far an engine's log probability may be from the float32 model's, with 8-bit weights: of 80 first tokens of
Gemma 3 270M the furthest was 0.24 away."""
MARGIN: Final = 0.25
"""How much likelier than the second the first token has to be, for a reply to count."""


PROMPTS: Final = (
    *PROMPTS_OF_REPLIES,
    "1, 2, 3, 4, 5, 6, 7,",
    "Once upon a time, there was a",
    '{"name": "Anna", "age":',
    "import numpy as",
    "The quick brown fox jumps over the lazy",
    "To be, or not to be, that is the",
)
"""What the model itself and its candidates are asked; those count that it is sure enough of."""


class Spec(Struct, frozen=True, kw_only=True):
    """`format` is "gguf" (`source` a file) or "transformers" (a folder); `out` a folder that may be written."""

    source: str
    format: str
    out: str


class Facts(Struct, frozen=True, kw_only=True):
    """`replies` of the float32 model; of `odd` odd texts, how many OpenVINO's tokenizer reads differently."""

    replies: tuple[Reply, ...]
    differing: int
    odd: int


class Result(Struct, frozen=True, kw_only=True):
    """`error` is {"code", "message"}."""

    facts: Facts | None = None
    error: dict[str, str] | None = None
