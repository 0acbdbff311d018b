"""Hugging Face models of texts: encoders become vectors, sequence classifiers scores of classes.

Sources: transformers, "Auto Classes", "Export to ONNX"; torch.onnx.export and torch.export (PyTorch documentation).
No code of a model's own repository is ever imported: `trust_remote_code` is off and weights are safetensors alone.
"""

import copy
from pathlib import Path
from typing import Any, Final

from modelyard.conversion import text_export, text_nets, tokens
from modelyard.conversion.contract import Form, Job, Stored, Subject
from modelyard.conversion.pretrained import Folder, library, load, network_of, quiet, tokenizer_of
from modelyard.conversion.text_nets import Sentence
from modelyard.errors import InvalidInput
from modelyard.files import link_or_copy
from modelyard.packages import generators
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature, TensorSpec

__all__ = ["Folder", "load", "subject"]

CLASSES: Final = "text-classification"
VECTORS: Final = "feature-extraction"
GENERATES: Final = "text-generation"
FOLDER: Final = "huggingface"
"""Of a package that keeps a model as it came."""
LIBRARIES: Final = ("torch", "transformers", "tokenizers", "onnxscript")

_CAUSAL: Final = ("ForCausalLM", "LMHeadModel")
_GENERATORS: Final = (*_CAUSAL, "ForConditionalGeneration", "ForSeq2SeqLM")
_HEADLESS: Final = ("Model", "ForMaskedLM", "ForPreTraining")
_DATA: Final = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md")
_PAIRS: Final = (
    "models that read one text and write another (encoder and decoder) have no engine here yet: the version is"
    " stored and exported as it is, and cannot be deployed"
)
_NONE: Final = (
    "no engine here runs {name} yet: the version is stored and exported as it is, and cannot be deployed; text"
    " encoders and text classifiers can, and other networks as torch.nn.Module with an example"
)
_NO_CONFIG: Final = (
    "weights alone do not say what network they are of: the version is stored, and cannot be deployed; import the"
    " folder with its config.json and tokenizer.json"
)


def subject(model: Any, job: Job) -> Subject | Stored:
    """Of a model with its tokenizer as a tuple, a pipeline, a SentenceTransformer or a `Folder`.

    See `contract.Framework`. Raises InvalidInput, MissingExtra, and ParityMismatch where the tokenizer cannot be
    kept as it is.
    """
    transformers = library()
    if type(model).__name__ == "SentenceTransformer":
        model.save_pretrained(str(job.work / "sentence"), create_model_card=False)
        model = load(job.work / "sentence")
    if isinstance(model, Folder):
        return _of_folder(model, job)
    if isinstance(model, transformers.Pipeline):
        model = (model.model, model.tokenizer)
    network, tokenizer = model if isinstance(model, tuple) and len(model) == 2 else (model, None)
    if isinstance(network, tuple):
        raise InvalidInput("a model and its tokenizer are needed", came=f"{len(network)} values")
    kind = _kind(type(network).__name__, network.config, sentence=False)
    if kind is None:
        return _without_text(network, tokenizer, job)
    if tokenizer is None:
        return _withouttokenizer_of(network, job)
    return _text(_in_memory(network), tokenizer, job, kind, None)


def _kind(name: str, config: Any, *, sentence: bool) -> str | None:
    """The task of an architecture, or None for what is no encoder of texts."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    if name.endswith("ForSequenceClassification"):
        return CLASSES
    if sentence or name.endswith("EncoderModel"):
        return VECTORS
    decodes = config.is_encoder_decoder or getattr(config, "is_decoder", False)
    known = config.model_type in MASKED and not decodes
    return VECTORS if known and name.endswith(_HEADLESS) and not name.endswith(_GENERATORS) else None


def _of_folder(folder: Folder, job: Job) -> Subject | Stored:
    if folder.config is None:
        return _stored(folder.path, "safetensors", job, _NO_CONFIG, "tensors")
    sentence = text_nets.sentence_of(folder.path)
    name = (folder.config.architectures or [""])[0]
    kind = _kind(name, folder.config, sentence=sentence is not None)
    if kind is None:
        return _stored(folder.path, name, job, *_refused(name))
    with quiet():
        network = network_of(folder, name, classifies=kind == CLASSES)
        tokenizer = tokenizer_of(folder.path)
    return _text(network.float().eval(), tokenizer, job, kind, sentence)


def _refused(name: str) -> tuple[str | None, str]:
    """Why, and the task that it has. None: an engine opens the folder itself."""
    if name.endswith(_CAUSAL):
        return None, GENERATES
    if name.endswith(_GENERATORS):
        return _PAIRS, GENERATES
    return _NONE.format(name=name or "this network"), "tensors"


def _in_memory(network: Any) -> Any:
    """A float32 copy in evaluation; the owner's own stays as it was."""
    return copy.deepcopy(network).cpu().float().eval()


def _withouttokenizer_of(network: Any, job: Job) -> Subject:
    if job.example is None:
        raise InvalidInput(
            "a Hugging Face model of texts needs its tokenizer",
            came=type(network).__name__,
            allowed="log_model(model, tokenizer=tokenizer), or example= for its tensors",
        )
    from modelyard.conversion import torch as modules

    return modules.subject(network, job)


def _without_text(network: Any, tokenizer: Any, job: Job) -> Subject | Stored:
    """What is no encoder of texts: a module like any other where an example says what it takes, else it is kept."""
    if job.example is not None:
        from modelyard.conversion import torch as modules

        return modules.subject(network, job)
    folder = job.work / "pretrained"
    with quiet():
        network.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    name = type(network).__name__
    return _stored(folder, name, job, *_refused(name))


def _stored(path: Path, name: str, job: Job, refusal: str | None, task: str) -> Stored:
    named = ("text", "generated_text") if task == GENERATES else ()
    text = tuple(TensorSpec(name=n, datatype="BYTES", shape=(-1,)) for n in named)

    def save(out: Path) -> str:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if _is_data(p))
        base = path.parent if path.is_file() else path
        for file in files:
            target = out / FOLDER / file.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, target)
        if (job.work / generators.TEMPLATE_FILE).is_file():
            link_or_copy(job.work / generators.TEMPLATE_FILE, out / generators.TEMPLATE_FILE)
        return f"{FOLDER}/{'config.json' if path.is_dir() else path.name}"

    return Stored(
        task=task if job.options.task is None else job.options.task,
        signature=Signature(inputs=text[:1], outputs=text[1:]),
        form=Form(format="safetensors" if refusal is not None else "transformers", save=save),
        preprocessing=generators.describe_folder(path, job.work) if refusal is None else {},
        refusal=refusal,
        net=NetRef(name=name or "unknown", framework="transformers"),
        labels=job.options.labels,
        libraries=LIBRARIES,
    )


def _is_data(path: Path) -> bool:
    """Weights, configurations, vocabularies, cards and licences: no code and no pickle."""
    return (
        path.is_file() and not path.is_symlink() and (path.suffix in _DATA or path.name.startswith("LICENSE"))
    )


def _text(network: Any, tokenizer: Any, job: Job, kind: str, sentence: Sentence | None) -> Subject:
    config, name = network.config, type(network).__name__
    notes: list[str] = []
    if kind == CLASSES and job.options.task == VECTORS:
        kind, network = VECTORS, network.base_model
        notes.append("the classifier's head is left out: vectors are means over the tokens")
    elif kind == VECTORS and sentence is None:
        network, left = _headless(network)
        notes.append(f"{left}a text's vector is the mean over its tokens, as nothing says how to pool them")
    notes += sentence.notes if sentence else ()
    brought = tokens.bring(tokenizer, network, most=sentence.most if sentence else None, column=_column(job))
    tokens.check(brought, job.work)
    network.set_attn_implementation("eager")
    inputs = brought.preprocessing["inputs"]
    classes: tuple[str, ...] = ()
    if kind == CLASSES:
        several, classes = _several(config), _classes(config, job)
        module = text_nets.classifier(network, inputs, several)
        notes += ["a text may have several classes: their scores do not add up to 1"] if several else []
    else:
        module = text_nets.embedder(network, inputs, sentence or Sentence())
    return text_export.subject(
        module,
        brought,
        ("probabilities", "logits") if kind == CLASSES else ("embedding",),
        task=kind,
        classes=classes,
        net=NetRef(name=name, framework="transformers"),
        notes=tuple(notes),
    )


def _headless(network: Any) -> tuple[Any, str]:
    """The encoder below a head for pretraining, and what to say of it."""
    if type(network).__name__.endswith("Model"):
        return network, ""
    return network.base_model, "the head for pretraining is left out: "


def _several(config: Any) -> bool:
    """Raises InvalidInput for one number a text, which is no class."""
    if config.num_labels < 2:
        raise InvalidInput(
            "a text classifier of one label gives a number, not classes",
            came=f"num_labels {config.num_labels}",
            allowed="2 or more, or task='tensors' with the network as torch.nn.Module",
        )
    return bool(config.problem_type == "multi_label_classification")


def _classes(config: Any, job: Job) -> tuple[str, ...]:
    """The names that the configuration gives; those that nobody chose give way to the data set's."""
    named = tuple(str(config.id2label[k]) for k in range(config.num_labels))
    nameless = all(name == f"LABEL_{k}" for k, name in enumerate(named))
    if nameless and len(job.origin.class_names) == len(named):
        return ()
    if len(set(named)) != len(named):
        raise InvalidInput("id2label names two classes alike", came=list(named)[:20])
    return named


def _column(job: Job) -> str:
    """The data set's column of texts."""
    schema = job.origin.schema
    found = [c.name for c in schema.columns if c.kind == "text" and c.name != schema.label] if schema else []
    return found[0] if len(found) == 1 else "text"
