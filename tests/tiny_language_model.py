"""A causal language model of two layers and width 32 with a tokenizer of its own, made in seconds and random."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard import packages, tasks
from modelyard.types.package import Manifest

TEXTS = (
    "the cat sat on the mat and looked at the rain",
    "a dog ran over the wet grass to the old house",
    "the rain fell on the house all day and all night",
    "who sat in the house ? the cat sat in the house",
)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def write_folder(folder: Path, kind: str = "llama", template: str | None = None, seed: int = 0) -> Path:
    """A Hugging Face folder: `kind` "llama" (rotary positions) or "gpt2" (learnt positions), 64 of them."""
    import torch
    import transformers

    tokenizer = _tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(seed)
    if kind == "gpt2":
        config: Any = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **sizes)
        model: Any = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            **sizes,
        )
        model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_package(folder: Path, kind: str = "llama", template: str | None = None, **said: Any) -> Manifest:
    """The same as a package of the task text-generation; `said` are fields of its manifest."""
    write_folder(folder / "huggingface", kind, template)
    (folder / "LICENCE").write_text("Anybody may.\n")
    signature = tasks.load("text-generation").signature({}, ())
    given: dict[str, Any] = {
        "task": "text-generation",
        "signature": signature,
        "tensors": signature,
        "preprocessing": {"context": 64},
        "formats": {"transformers": "huggingface/config.json"},
        "licence": "cc0-1.0",
    }
    return packages.write(folder, Manifest(**given | said))


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(TEXTS, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=64
    )
