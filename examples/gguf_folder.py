"""A GGUF file as a Hugging Face folder, which can be fine-tuned: float32 weights and the tokenizer rebuilt.

    pip install modelyard[finetune] gguf
    python examples/gguf_folder.py model.gguf folder && yard models import folder --name gemma

transformers reads the weights. The tokenizer that it makes of a SentencePiece vocabulary is another one (it cuts
"capital" into c, ap, it, al, and perplexity is a hundred times what it should be), so it is made here, as llama.cpp
does (llama-vocab.cpp, SPM): the two neighbours are joined whose joint piece has the highest score. For files whose
tokenizer is of that kind ("llama": Gemma, Llama 2, Mistral).
"""

import json
import sys
from pathlib import Path
from typing import Any

SPECIAL, USER, NORMAL = 3, 4, 1  # kinds of tokens, of the GGUF specification


def main(file: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    source, folder = Path(file), Path(target)
    folder.mkdir(parents=True)
    write_tokenizer(fields(source), folder)
    how = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, quantization_config=how
    )
    model.save_pretrained(folder)


def fields(source: Path) -> dict[str, Any]:
    """What the file says of its tokenizer. Raises ValueError for one of another kind."""
    from gguf import GGUFReader

    said = GGUFReader(source).fields
    prefix = "tokenizer.ggml."
    found = {n.removeprefix(prefix): f.contents() for n, f in said.items() if n.startswith(prefix)}
    if found["model"] != "llama":
        raise ValueError(f"the tokenizer is of the kind {found['model']!r}, not 'llama'")
    if "tokenizer.chat_template" in said:
        found["chat_template"] = said["tokenizer.chat_template"].contents()
    return found


def write_tokenizer(said: dict[str, Any], folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja."""
    tokenizer(said).save(str(folder / "tokenizer.json"))
    tokens = said["tokens"]
    names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    ids = {name: said.get(f"{key}_token_id") for key, name in names.items()}
    config = {name: tokens[number] for name, number in ids.items() if number is not None}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    if "chat_template" in said:
        (folder / "chat_template.jinja").write_text(said["chat_template"])


def tokenizer(said: dict[str, Any]) -> Any:
    """SentencePiece's byte pairs as a `tokenizers.Tokenizer`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    tokens, kinds = said["tokens"], said["token_type"]
    space = said.get("add_space_prefix", True)
    unknown = tokens[said.get("unknown_token_id", 0)]
    made = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=merges(tokens, said["scores"], kinds),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    steps = [normalizers.Prepend("▁")] if space else []
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    ends = [decoders.Strip(" ", 1, 0)] if space else []
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    made.decoder = decoders.Sequence(back)
    if said.get("add_bos_token", True):
        number = said["bos_token_id"]
        first = tokens[number]
        made.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, number)]
        )
    for kind, special in ((SPECIAL, True), (USER, False)):
        of_kind = [token for token, its in zip(tokens, kinds, strict=True) if its == kind]
        made.add_tokens([AddedToken(token, special=special, normalized=False) for token in of_kind])
    return made


def merges(tokens: list[str], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Every way to join two pieces into one, the likeliest piece first."""
    numbers = {token: number for number, token in enumerate(tokens)}
    found = [
        (-scores[number], numbers[token[:at]], numbers[token[at:]])
        for number, token in enumerate(tokens)
        if kinds[number] == NORMAL
        for at in range(1, len(token))
        if token[:at] in numbers and token[at:] in numbers
    ]
    return [(tokens[left], tokens[right]) for _, left, right in sorted(found)]


if __name__ == "__main__":
    main(*sys.argv[1:])
