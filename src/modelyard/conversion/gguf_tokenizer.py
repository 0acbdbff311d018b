"""The tokenizer that a GGUF file describes, as Hugging Face's tokenizer.json (ggml-org/ggml, docs/gguf.md).

Two kinds: "llama", SentencePiece's byte pairs, where the two neighbours are joined whose joint piece has the
highest score; and "gpt2", byte-level pairs in the file's own order, cut before by the expression that
`tokenizer.ggml.pre` names (llama.cpp, src/llama-vocab.cpp). transformers makes a unigram model of the first, which
is another tokenizer: it cuts Gemma's "capital" into c, ap, it, al.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from modelyard.errors import InvalidInput, MissingExtra

_PREFIX: Final = "tokenizer.ggml."
_TEMPLATE: Final = "tokenizer.chat_template"
_NORMAL, _CONTROL, _USER = 1, 3, 4  # kinds of tokens, docs/gguf.md
_WORDS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CUTS: Final = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx", "smaug-bpe"), r"\p{N}{1,3}"),
    **dict.fromkeys(("qwen2", "stablelm2", "hunyuan", "deepseek-r1-qwen", "megrez"), r"\p{N}"),
}
"""Name -> how many digits stay together."""
_AS_GPT2: Final = ("gpt-2", "phi-2", "mpt", "olmo", "jais")
_DIGITS_FIRST: Final = ("smollm", "codeshell", "exaone", "starcoder", "refact", "command-r")
_WHOLE_WORDS: Final = ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral")
"""Where a word of the vocabulary is taken before any pair is joined."""
_NAMES: Final = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def read_fields(reader: Any) -> dict[str, Any]:
    """What an opened GGUF file says of its tokenizer, without the prefix, and `chat_template`."""
    said = reader.fields
    found = {
        name.removeprefix(_PREFIX): field.contents()
        for name, field in said.items()
        if name.startswith(_PREFIX)
    }
    if _TEMPLATE in said:
        found["chat_template"] = said[_TEMPLATE].contents()
    return found


def open_gguf(path: Path) -> Any:
    """A gguf.GGUFReader over a plain array: over NumPy's memory map, as it is made, reading a vocabulary of 262,144
    takes ten times as long. Raises MissingExtra."""
    try:
        import gguf
        import numpy as np
    except ImportError as error:
        raise MissingExtra(str(error.name), "finetune") from error

    class Reader(gguf.GGUFReader):  # type: ignore[misc,unused-ignore]
        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, mapped: Any) -> None:
            self._plain = mapped.view(np.ndarray)

    return Reader(path)


def write_tokenizer(said: dict[str, Any], folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja. Raises InvalidInput."""
    make_tokenizer(said).save(str(folder / "tokenizer.json"))
    tokens = said["tokens"]
    ids = {name: said.get(f"{key}_token_id") for key, name in _NAMES.items()}
    config: dict[str, Any] = {
        name: tokens[number] for name, number in ids.items() if number is not None and number < len(tokens)
    }
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    if isinstance(template := said.get("chat_template"), str):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def make_tokenizer(said: dict[str, Any]) -> Any:
    """A tokenizers.Tokenizer. Raises InvalidInput for a kind that is not known here."""
    kinds = {"llama": _sentencepiece, "gpt2": _byte_level}
    make = kinds.get(said.get("model", ""))
    if make is None:
        raise InvalidInput("the GGUF file's tokenizer", came=said.get("model"), allowed=kinds)
    made = make(said)
    _add_ends(made, said)
    _add_tokens(made, said)
    return made


def _sentencepiece(said: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens, space = said["tokens"], said.get("add_space_prefix", True)
    made = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=list(_joins(tokens, said["scores"], said["token_type"])),
            unk_token=tokens[said.get("unknown_token_id", 0)],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    before = [normalizers.Prepend("▁")] if space else []
    made.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", "▁")])
    after = [decoders.Strip(" ", 1, 0)] if space else []
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *after]
    )
    return made


def _joins(tokens: Sequence[str], scores: Sequence[float], kinds: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Every way to join two pieces into one, the piece of the highest score first."""
    numbers = {token: number for number, token in enumerate(tokens)}
    found = [
        (-scores[number], numbers[token[:at]], numbers[token[at:]])
        for number, token in enumerate(tokens)
        if kinds[number] == _NORMAL
        for at in range(1, len(token))
        if token[:at] in numbers and token[at:] in numbers
    ]
    return ((tokens[left], tokens[right]) for _, left, right in sorted(found))


def _byte_level(said: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models

    pairs = [tuple(line.split(" ", 1)) for line in said["merges"]]
    made = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(said["tokens"])},
            merges=pairs,
            ignore_merges=said.get("pre") in _WHOLE_WORDS,
        )
    )
    made.pre_tokenizer = _cut(str(said.get("pre", "default")))
    made.decoder = decoders.ByteLevel()
    return made


def _cut(name: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in _CUTS:
        split = pre_tokenizers.Split(Regex(_WORDS + _CUTS[name] + _REST), "isolated")
        return pre_tokenizers.Sequence([split, plain])
    if name in _AS_GPT2:
        return words
    if name in _DIGITS_FIRST:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    raise InvalidInput(
        "the GGUF file's tokenizer cuts text in a way that is not known here",
        came=name,
        allowed=(*_CUTS, *_AS_GPT2, *_DIGITS_FIRST),
    )


def _add_ends(made: Any, said: dict[str, Any]) -> None:
    """The tokens that go before and after every text."""
    from tokenizers import processors

    tokens = said["tokens"]
    first, last = (
        [(tokens[said[f"{end}_token_id"]], said[f"{end}_token_id"])]
        if said.get(f"add_{end}_token", default) and f"{end}_token_id" in said
        else []
        for end, default in (("bos", said["model"] == "llama"), ("eos", False))
    )
    if first or last:
        single = [*(name for name, _ in first), "$A", *(name for name, _ in last)]
        made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[*first, *last])


def _add_tokens(made: Any, said: dict[str, Any]) -> None:
    from tokenizers import AddedToken

    pairs = list(zip(said["tokens"], said["token_type"], strict=True))
    for kind, special in ((_CONTROL, True), (_USER, False)):
        of_kind = [token for token, its in pairs if its == kind]
        made.add_tokens([AddedToken(token, special=special, normalized=False) for token in of_kind])
