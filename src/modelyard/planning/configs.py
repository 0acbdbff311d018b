"""Configs: the shape of a model by its own files, `config.json` (as Hugging Face writes it) or GGUF."""

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from modelyard.errors import InvalidInput, NotAllowedFormat
from modelyard.planning.architecture import Architecture
from modelyard.planning.shapes import Shape, shape_of

_MOST_CONFIG: Final = 16 << 20
_DTYPES: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_OTHER: Final = ("kv_lora_rank", "ssm_cfg", "mamba_d_state", "linear_num_key_heads", "first_k_dense_replace",
                 "n_shared_experts", "shared_expert_intermediate_size", "interleave_moe_layer_step",
                 "mlp_only_layers", "encoder_layers", "num_encoder_layers")  # fmt: skip
"""Keys of architectures whose cache or parameters these formulas do not describe."""
_TIED: Final = ("gemma", "gemma2", "gemma3", "gemma3_text")
_FILE_TYPES: Final = {
    0: "fp32",
    1: "fp16",
    7: "int8",
    32: "bf16",
}
"""llama_ftype of llama.h; the rest have some 4 to 6 bits."""


def shape_of_path(path: Path) -> Shape:
    """Of a `config.json`, a folder with one, or a GGUF file. Raises InvalidInput, NotAllowedFormat, Corrupt."""
    if path.is_dir():
        return _of_folder(path)
    if path.suffix == ".json":
        return shape_of_config(path.read_bytes()[: _MOST_CONFIG + 1], path.parent.name or "model")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"GGUF":
        return _of_gguf(path)
    raise NotAllowedFormat("not a model's description", came=path.suffix or "no suffix",
                           allowed="config.json, a folder with one, .gguf")  # fmt: skip


def shape_of_config(text: bytes, name: str, stored: float | None = None) -> Shape:
    """Of a config.json's text. Raises InvalidInput."""
    if len(text) > _MOST_CONFIG:
        raise InvalidInput("config.json is too long", allowed=f"{_MOST_CONFIG:,} bytes")
    try:
        said = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput("config.json holds no JSON object", came=type(error).__name__) from error
    inner = said.get("text_config")
    config = {**said, **inner} if isinstance(inner, dict) else said
    for key in _OTHER:
        if config.get(key):
            raise InvalidInput("this architecture is not in the formulas; give its shape with --params and so on",
                               came=key)  # fmt: skip
    shape = shape_of(_architecture(config, name))
    return shape if stored is None else replace(shape, stored=stored)


def _architecture(config: dict[str, Any], name: str) -> Architecture:
    hidden, heads = _number(config, "hidden_size"), _number(config, "num_attention_heads")
    layers = _number(config, "num_hidden_layers")
    experts = _number(config, "num_local_experts", _number(config, "num_experts", 0))
    kind = str(config.get("model_type", ""))
    window, windowed = _windows(config, layers)
    bias = bool(config.get("attention_bias")) or kind == "qwen2"
    return Architecture(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_number(config, "num_key_value_heads", heads),
        head_dim=_number(config, "head_dim", max(hidden // heads, 1)),
        inner=_number(config, "moe_intermediate_size" if experts and "moe_intermediate_size" in config
                      else "intermediate_size"),
        vocabulary=_number(config, "vocab_size"),
        experts=experts,
        experts_used=_number(config, "num_experts_per_tok") if experts else 0,
        tied=bool(config.get("tie_word_embeddings", kind in _TIED)),
        qkv_bias=bias,
        output_bias=bias and kind != "qwen2",
        inner_bias=kind == "gpt_oss",
        router_bias=kind == "gpt_oss",
        sinks=kind == "gpt_oss",
        qk_norms=kind in ("gemma3", "gemma3_text", "qwen3", "qwen3_moe"),
        layer_norms=4 if kind.startswith(("gemma2", "gemma3")) else 2,
        window=window,
        windowed=windowed,
        precision=_precision(config),
        longest=_number(config, "max_position_embeddings", 0),
        source="its config.json",
    )  # fmt: skip


def _number(config: dict[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key, default)
    value = default if value is None else value
    if type(value) is not int or not 0 <= value <= 1 << 40:
        raise InvalidInput(f"config.json has no good {key}", came=value, allowed="a whole number")
    if value == 0 and default != 0:
        raise InvalidInput(f"config.json has no good {key}", came=value, allowed="1 or more")
    return value


def _windows(config: dict[str, Any], layers: int) -> tuple[int, int]:
    """The window, and how many layers have one."""
    window = config.get("sliding_window")
    if type(window) is not int or window < 1 or config.get("use_sliding_window") is False:
        return 0, 0
    kinds = config.get("layer_types")
    if not isinstance(kinds, list):
        return window, layers
    if others := {str(k) for k in kinds} - {"sliding_attention", "full_attention"}:
        raise InvalidInput("this architecture is not in the formulas; give its shape with --params and so on",
                           came=sorted(others)[0])  # fmt: skip
    return window, kinds.count("sliding_attention")


def _precision(config: dict[str, Any]) -> str:
    quantized = config.get("quantization_config")
    if isinstance(quantized, dict):
        method, bits = str(quantized.get("quant_method")), quantized.get("bits", quantized.get("w_bit"))
        if method in ("fp8", "mxfp4"):
            return method
        if bits in (4, 8):
            return f"int{bits}"
        raise InvalidInput("this quantization is not in the formulas; give --precision", came=method[:40])
    return _DTYPES.get(str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"), "bf16")


def _of_folder(folder: Path) -> Shape:
    """Its config.json; where the weights are there, their own count and size."""
    config = folder / "config.json"
    if not config.is_file():
        raise NotAllowedFormat("the folder is no Hugging Face model", allowed="a folder with config.json")
    shape = shape_of_config(config.read_bytes()[: _MOST_CONFIG + 1], folder.resolve().name)
    weights = sorted(folder.glob("*.safetensors"))
    return replace(shape, stored=float(sum(p.stat().st_size for p in weights))) if weights else shape


def _of_gguf(path: Path) -> Shape:
    from modelyard.trust.inspection.gguf import inspect, read_header

    values = read_header(path).values
    parameters = float(inspect(path, path.name).facts["parameters"])
    shape = shape_of_gguf(values, path.stem, float(path.stat().st_size))
    return replace(shape, parameters=parameters, looked_up=min(shape.looked_up, parameters))


def shape_of_gguf(values: dict[str, Any], name: str, stored: float) -> Shape:
    """Of a GGUF header's values (ggml-org/ggml, docs/gguf.md, "LLM"). Raises InvalidInput."""
    own = {key.partition(".")[2]: value for key, value in values.items()
           if key.startswith(f"{values.get('general.architecture')}.")}  # fmt: skip
    tokens = str(values.get("tokenizer.ggml.tokens", "")).split(" ")[0]
    hidden, heads = _number(own, "embedding_length"), _number(own, "attention.head_count")
    layers = _number(own, "block_count")
    experts = _number(own, "expert_count", 0)
    architecture = Architecture(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_number(own, "attention.head_count_kv", heads),
        head_dim=_number(own, "attention.key_length", max(hidden // heads, 1)),
        inner=_number(own, "expert_feed_forward_length" if "expert_feed_forward_length" in own
                      else "feed_forward_length"),
        vocabulary=_number(own, "vocab_size", int(tokens) if tokens.isdigit() else 128_000),
        experts=experts,
        experts_used=_number(own, "expert_used_count") if experts else 0,
        tied=True,  # what is only looked up is not known from the header
        precision=_FILE_TYPES.get(values.get("general.file_type", -1), "int4"),
        longest=_number(own, "context_length", 0),
        source="its GGUF header; a window, if it has one, is not counted on",
    )  # fmt: skip
    return replace(shape_of(architecture), stored=stored)
