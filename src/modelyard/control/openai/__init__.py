"""What of the OpenAI API is control's, for its unmodified clients: files, batches, fine-tuning jobs
(https://platform.openai.com/docs/api-reference/files, /batch, /fine-tuning).

One file a noun, each with its table of OPERATIONS. Chat, completions and embeddings are the gateway's and the
replicas' (modelyard.dialects).
"""

from typing import Final

FILES: Final = "/v1/files"
BATCHES: Final = "/v1/batches"
FINE_TUNING: Final = "/v1/fine_tuning"
PREFIXES: Final = (FILES, BATCHES, FINE_TUNING)


def speaks(path: str) -> bool:
    """Whether a path is the OpenAI API's, so that its errors have that API's shape."""
    return path.startswith("/v1/")
