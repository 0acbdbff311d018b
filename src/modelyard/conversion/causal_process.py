"""`python -m modelyard.conversion.causal_process SPEC.json`: a causal language model into OpenVINO IR with 8-bit
weights, in the environment that `conversion.causal` describes.

The way: GGUF is dequantised by transformers into a Hugging Face folder; the folder's own answers, float32 on
PyTorch, are written down; optimum-intel exports it, nncf compresses the weights, openvino_tokenizers converts the
tokenizer.
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.conversion import causal
from modelyard.conversion.gguf_tokenizer import open_gguf, read_fields, write_tokenizer
from modelyard.engines.replying import TOKENS
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.packages.replies import Reply

_BITS: Final = 8
_ODD: Final = (
    "", " ", "  two  spaces ", "a\nb\r\n\n\n\tc", "naïve café", "日本語のテキスト", "😀👩🏽 🇫🇷",
    "0123456789 3.14 1,000", "def f(x):\n    return x**2", '<b>bold</b> &amp; {"json": [1, 2]}',
    "ÀÉÎÕÜ ßŒ", "مرحبا بالعالم", "don't CAN'T",
)  # fmt: skip
_ROPE: Final = {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"}


def main(argv: list[str]) -> int:
    _hide()
    spec = msgspec.json.decode(Path(argv[0]).read_bytes(), type=causal.Spec)
    out = Path(spec.out)
    try:
        facts = _convert(spec)
        result = causal.Result(facts=facts)
    except ModelyardError as error:
        result = causal.Result(error=error.to_dict())
    except MemoryError:
        result = causal.Result(
            error={"code": "invalid_input", "message": "the conversion needed more memory than it may use"}
        )
    except Exception as error:  # of four libraries, over a stranger's files
        traceback.print_exc()
        what = InvalidInput("the model could not be converted to OpenVINO", came=type(error).__name__)
        result = causal.Result(error=what.to_dict())
    (out / causal.RESULT).write_bytes(msgspec.json.encode(result))
    return 0 if result.error is None else 1


def _hide() -> None:
    """optimum-intel asks for torchvision by its metadata, and the index's does not go with PyTorch for CPUs:
    hidden, it is not there. Nothing here needs the network."""
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    os.environ |= {"USE_TF": "0", "USE_TORCH": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _convert(spec: causal.Spec) -> causal.Facts:
    out, source = Path(spec.out), Path(spec.source)
    folder = out / "huggingface"
    folder.mkdir()
    try:
        return _converted(source, spec.format, folder, out / causal.FOLDER)
    finally:
        shutil.rmtree(folder)  # it is large, and may be links


def _converted(source: Path, format: str, folder: Path, made: Path) -> causal.Facts:
    if format == "gguf":
        _dequantise(source, folder)
    else:
        _link(source, folder)
    replies = _reference(folder)
    _export(folder, made)
    return causal.Facts(replies=replies, differing=_write_tokenizers(folder, made), odd=len(_ODD))


def _dequantise(source: Path, folder: Path) -> None:
    import gguf
    import torch
    from transformers import AutoModelForCausalLM

    _say("reading the GGUF file's weights")
    reader = open_gguf(source)
    gguf.GGUFReader = lambda *_: reader  # transformers reads it three times
    write_tokenizer(read_fields(reader), folder)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    model.save_pretrained(folder)


def _link(source: Path, folder: Path) -> None:
    """As this environment's transformers reads it; what lies in subfolders is none of its files."""
    for path in source.iterdir():
        if path.is_file() and path.name != "config.json":
            (folder / path.name).symlink_to(path)
    config = json.loads((source / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(older(config)))
    if not (folder / "tokenizer.json").is_file():
        raise InvalidInput("the folder has no tokenizer.json")


def older(config: dict[str, Any]) -> dict[str, Any]:
    """A config.json of transformers 5 as 4.57 knows it: rotary positions are named apart."""
    config = dict(config)
    ropes = config.pop("rope_parameters", None)
    if not isinstance(ropes, dict):
        return config
    by_layer = {name: one for name, one in ropes.items() if isinstance(one, dict)}
    for layer, one in (by_layer or {"full_attention": ropes}).items():
        if layer not in _ROPE:
            raise InvalidInput("rotary positions of a kind of layer", came=layer, allowed=_ROPE)
        config.setdefault(_ROPE[layer], one.get("rope_theta"))
        if one.get("rope_type", "default") != "default":
            if layer != "full_attention":
                raise InvalidInput("scaled rotary positions of this kind of layer", came=layer)
            config["rope_scaling"] = {k: v for k, v in one.items() if k != "rope_theta"}
        if "partial_rotary_factor" in one:
            config.setdefault("partial_rotary_factor", one["partial_rotary_factor"])
    return config


def _reference(folder: Path) -> tuple[Reply, ...]:
    """How the model goes on, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    _say("asking the model itself")
    tokenizer = _tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        replies = (_reply(model, tokenizer, prompt) for prompt in causal.PROMPTS)
        return tuple(reply for reply in replies if reply is not None)


def _reply(model: Any, tokenizer: Any, prompt: str) -> Reply | None:
    """None where two tokens are as good as each other for the first, or it is no whole character."""
    import torch

    ids = tokenizer.encode(prompt).ids
    found: list[str] = []
    logprobs: list[float] = []
    for _ in range(TOKENS):
        told = model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
        token = int(told.argmax())
        logprobs.append(float(told[token]))
        best = told.topk(2).values
        if not found and float(best[0] - best[1]) < causal.MARGIN:
            return None
        found.append(tokenizer.decode([*ids, token])[len(tokenizer.decode(ids)) :])
        ids.append(token)
    if not found[0] or "�" in found[0]:
        return None
    return Reply(prompt=prompt, tokens=tuple(found), logprobs=tuple(logprobs))


def _export(folder: Path, made: Path) -> None:
    from optimum.intel import (  # type: ignore[import-not-found,unused-ignore]
        OVModelForCausalLM,
        OVWeightQuantizationConfig,
    )

    _say("exporting to OpenVINO")
    model = OVModelForCausalLM.from_pretrained(
        folder,
        export=True,
        compile=False,
        quantization_config=OVWeightQuantizationConfig(bits=_BITS),
        local_files_only=True,
        trust_remote_code=False,
    )
    model.save_pretrained(made)


def _write_tokenizers(folder: Path, made: Path) -> int:
    """Texts out of `_ODD` of which OpenVINO's tokenizer makes other tokens. The engine reads texts by
    tokenizer.json; OpenVINO's is its vocabulary of constraints."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    _say("converting the tokenizer")
    own = _tokenizer(folder)
    shutil.copyfile(folder / "tokenizer.json", made / "tokenizer.json")
    named = _special_tokens(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=own, clean_up_tokenization_spaces=False, **named)
    encode, decode = convert_tokenizer(fast, with_detokenizer=True)
    openvino.save_model(encode, made / "openvino_tokenizer.xml")
    openvino.save_model(decode, made / "openvino_detokenizer.xml")
    for name in ("special_tokens_map.json", "tokenizer_config.json", "openvino_config.json"):
        (made / name).unlink(missing_ok=True)
    read = openvino.Core().compile_model(encode, "CPU")
    return sum(read([text])["input_ids"][0].tolist() != own.encode(text).ids for text in _ODD)


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    return made


def _special_tokens(folder: Path) -> dict[str, str]:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    named = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        token = config.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            named[name] = text
    return named


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
