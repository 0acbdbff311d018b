"""CTranslate2's model.bin, versions 5 and 6 (OpenNMT/CTranslate2, python/ctranslate2/specs/model_spec.py): the name
of what it is, then tensors one after the other, then second names of some. Only Whisper's are taken.
"""

from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import Buffer, Cursor, head_of, mapped, read_json, read_object
from modelyard.trust.inspection.contract import Inspection

FORMAT: Final = "ctranslate2-whisper"
ENTRY: Final = "model.bin"
_SPEC: Final = "WhisperSpec"
_VERSIONS: Final = (5, 6)
_SIZES: Final = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}  # float32, int8, int16, int32, float16, bfloat16
_TYPES: Final = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
_MOST_TENSORS: Final = 20_000
_MOST_AXES: Final = 8
_LONGEST: Final = 512
_CONFIG_BYTES: Final = 4 << 20
_VOCABULARY_BYTES: Final = 16 << 20
_VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
_KEPT: Final = (ENTRY, "config.json", "tokenizer.json", "preprocessor_config.json", "generation_config.json",
                *_VOCABULARIES, "README.md", "LICENSE", "LICENSE.txt")  # fmt: skip
_PREPROCESSOR: Final = "preprocessor_config.json"
_SPECTROGRAM: Final = {"sampling_rate": 16_000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
"""Every Whisper's."""
_ENGLISH: Final = 51864
"""Tokens of the models of English alone; the others have one more, or two."""
_WEIGHT: Final = "encoder/conv1/weight"
"""[width, mel bands, 3]"""


def is_whisper(path: Path) -> bool:
    """Whether a file begins as CTranslate2's Whisper does."""
    head = head_of(path, 6 + len(_SPEC) + 1)
    return head[4:] == (len(_SPEC) + 1).to_bytes(2, "little") + _SPEC.encode() + b"\0"


def inspect(folder: Path, name: str, files: list[str]) -> Inspection:
    """`files` are the names of what lies in the folder. Raises Corrupt for tensors that pass the file's end or
    whose shape is not their size, NotAllowedFormat for another version and for a folder that is not whole."""
    missing = [f for f in ("config.json", "tokenizer.json") if f not in files]
    if not any(v in files for v in _VOCABULARIES):
        missing.append(" or ".join(_VOCABULARIES))
    if missing:
        raise NotAllowedFormat(
            f"{name!r} is a Whisper model that is not whole", came=f"no {', '.join(missing)}",
            allowed="the folder that ct2-transformers-converter --copy_files tokenizer.json"
            " preprocessor_config.json writes",
        )  # fmt: skip
    with mapped(folder / ENTRY, f"{name}/{ENTRY}") as data:
        facts = _Reader(data, f"{name}/{ENTRY}").facts()
    _check_texts(folder, files)
    _check_spectrogram(folder, files, facts["mel_bands"])
    english = facts["vocabulary"] == _ENGLISH
    return Inspection(
        format=FORMAT,
        keep=tuple(f for f in _KEPT if f in files),
        facts={**facts, "model_type": "whisper", "languages": "English" if english else "many"},
        task="automatic-speech-recognition",
        why=f"{ENTRY} says CTranslate2's Whisper, {facts['parameters']:,} parameters",
    )


def _check_texts(folder: Path, files: list[str]) -> None:
    """What the library reads beside the tensors is JSON. Raises Corrupt and TooLarge."""
    for file in ("config.json", "preprocessor_config.json", "generation_config.json"):
        if file in files:
            read_object(head_of(folder / file, _CONFIG_BYTES + 1), file, limit=_CONFIG_BYTES)
    for file in ("tokenizer.json", "vocabulary.json"):
        if file in files:
            read_json(head_of(folder / file, _VOCABULARY_BYTES + 1), file, limit=_VOCABULARY_BYTES)


def _check_spectrogram(folder: Path, files: list[str], bands: int) -> None:
    """What the model hears is computed by preprocessor_config.json, or as that of 80 bands is."""
    said: dict[str, Any] = {}
    if _PREPROCESSOR in files:
        said = read_object(head_of(folder / _PREPROCESSOR, _CONFIG_BYTES), _PREPROCESSOR)
    due = {**_SPECTROGRAM, "feature_size": bands}
    found = {key: said.get(key, default) for key, default in {**_SPECTROGRAM, "feature_size": 80}.items()}
    if found != due:
        raise Corrupt.because(
            _PREPROCESSOR, "does not say what the model was trained on", came=found, allowed=due
        )


class _Reader:
    """Tensors are passed over: only their places are looked at."""

    def __init__(self, data: Buffer, name: str) -> None:
        self._name, self._cursor, self._end = name, Cursor(data, name), len(data)

    def facts(self) -> dict[str, Any]:
        version, spec = self._cursor.number("<I"), self._text()
        if spec != _SPEC:
            raise NotAllowedFormat(
                f"{self._name!r} is no Whisper of CTranslate2", came=spec[:60], allowed=_SPEC
            )
        if version not in _VERSIONS:
            raise NotAllowedFormat(
                f"{self._name!r} is of an unknown version", came=version, allowed=_VERSIONS
            )
        revision, count = self._cursor.number("<I"), self._cursor.number("<I")
        if not 1 <= count <= _MOST_TENSORS:
            raise Corrupt.because(self._name, "has a count of tensors that cannot be", came=count)
        shapes: dict[str, tuple[int, ...]] = {}
        types: set[int] = set()
        for _ in range(count):
            self._tensor(shapes, types)
        self._aliases(shapes)
        return _facts(version, revision, shapes, types, self._name)

    def _text(self) -> str:
        """A length that counts the zero at its end."""
        length = self._cursor.number("<H")
        if not 1 <= length <= _LONGEST:
            raise Corrupt.because(self._name, "has a name of a length that cannot be", came=length)
        text = bytes(self._cursor.take(length))
        if text[-1:] != b"\0" or b"\0" in text[:-1]:
            raise Corrupt.because(self._name, "has a name without its end")
        return text[:-1].decode("utf-8", "replace")

    def _tensor(self, shapes: dict[str, tuple[int, ...]], types: set[int]) -> None:
        name, axes = self._text(), self._cursor.number("<B")
        if name in shapes:
            raise Corrupt.because(self._name, "names a tensor twice", came=name)
        if axes > _MOST_AXES:
            raise Corrupt.because(self._name, "has a tensor of too many axes", came=axes)
        shape = tuple(self._cursor.number("<I") for _ in range(axes))
        kind, size = self._cursor.number("<B"), self._cursor.number("<I")
        if kind not in _SIZES:
            raise Corrupt.because(self._name, "has a tensor of an unknown type", came=kind)
        if _elements(shape) * _SIZES[kind] != size:
            raise Corrupt.because(self._name, "has a tensor whose shape is not its size", came=name)
        self._cursor.take(size)  # raises where it passes the end
        shapes[name] = shape
        types.add(kind)

    def _aliases(self, shapes: dict[str, tuple[int, ...]]) -> None:
        count = self._cursor.number("<I")
        if count > _MOST_TENSORS:
            raise Corrupt.because(self._name, "has a count of second names that cannot be", came=count)
        for _ in range(count):
            alias, of = self._text(), self._text()
            if of not in shapes or alias in shapes:
                raise Corrupt.because(self._name, "has a second name of nothing", came=alias)
        if self._cursor.place != self._end:
            raise Corrupt.because(self._name, "goes on after its end")


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size  # eight numbers of 32 bits: Python's integers hold that
    return count


def _facts(
    version: int, revision: int, shapes: dict[str, tuple[int, ...]], types: set[int], name: str
) -> dict[str, Any]:
    first, last = shapes.get(_WEIGHT, ()), shapes.get("decoder/embeddings/weight", ())
    if len(first) != 3 or len(last) != 2:
        raise Corrupt.because(name, "lacks the first or the last layer of a Whisper")
    return {
        "version": version,
        "revision": revision,
        "tensors": len(shapes),
        "parameters": sum(_elements(shape) for shape in shapes.values()),
        "dtypes": [_TYPES[kind] for kind in sorted(types)],
        "mel_bands": first[1],
        "width": first[0],
        "vocabulary": last[0],
    }
