"""A GGUF file as a Hugging Face folder, which can be fine-tuned: float32 weights and the tokenizer rebuilt.

    pip install modelyard[finetune] gguf
    python examples/gguf_folder.py model.gguf folder && yard models import folder --name gemma

transformers reads the weights. The tokenizer that it makes of a SentencePiece vocabulary is another one (it cuts
"capital" into c, ap, it, al, and perplexity is a hundred times what it should be): the platform's own is written.
"""

import sys
from pathlib import Path

from modelyard.conversion import gguf_tokenizer


def main(file: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    source, folder = Path(file), Path(target)
    folder.mkdir(parents=True)
    write_tokenizer(source, folder)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)


def write_tokenizer(source: Path, folder: Path) -> None:
    """tokenizer.json and what belongs to it. Raises InvalidInput for a kind of tokenizer that is not known."""
    gguf_tokenizer.write_tokenizer(gguf_tokenizer.read_fields(gguf_tokenizer.open_gguf(source)), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
