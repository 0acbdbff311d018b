"""The OpenAI API, `/v1` (https://platform.openai.com/docs/api-reference): one file an operation, one line in
`protocol.OPERATIONS`."""

from modelyard.dialects.openai.protocol import OpenAI

__all__ = ["OpenAI"]
