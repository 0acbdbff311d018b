"""OpenVINO's IR (docs.openvino.ai, "OpenVINO IR format"): an XML of layers and a file of constants beside it."""

import re
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError, XMLPullParser

from modelyard.errors import Corrupt, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.contract import Inspection

_XML_BYTES: Final = 256 << 20
_OPSET: Final = re.compile(r"opset\d{1,2}|ie_internal_opset")
_PART: Final = 1 << 18
_PORTS: Final = {"Parameter": "inputs", "Result": "outputs"}


def inspect(path: Path, name: str) -> Inspection:
    """`path` is the .xml; the .bin of the same name lies beside it, where there are constants.

    Raises NotAllowedFormat for a DTD or entities and for operators of an extension, Corrupt for constants
    outside the .bin.
    """
    weights = path.with_suffix(".bin")
    size = weights.stat().st_size if weights.is_file() and not weights.is_symlink() else 0
    found = _Layers(name, size)
    if path.stat().st_size > _XML_BYTES:
        raise TooLarge(f"the XML {name!r}", allowed=f"{_XML_BYTES:,} bytes")
    found.read(path)
    if not found.layers:
        raise NotAllowedFormat(
            f"{name!r} is XML, and no OpenVINO model", allowed="an .xml that OpenVINO wrote"
        )
    return Inspection(
        format="openvino",
        keep=(path.name, weights.name) if size else (path.name,),
        facts={"ir_version": found.version, "layers": found.layers, **found.ports, "weights_bytes": size},
        why=f"OpenVINO's IR {found.version} of {found.layers} layers",
    )


def is_xml(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net"))


class _Layers:
    """Read piece by piece: an element is forgotten when it ends."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self.layers, self.version = 0, ""
        self.ports: dict[str, list[str]] = {"inputs": [], "outputs": []}

    def read(self, path: Path) -> None:
        parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
        tail = b""
        try:
            with path.open("rb") as file:
                while part := file.read(_PART):
                    if b"<!" in (tail + part).replace(b"<!--", b""):
                        raise NotAllowedFormat(f"{self._name!r} has a DTD or an entity", allowed="plain XML")
                    tail = part[-4:]
                    parser.feed(part)
                    self._events(parser)
                parser.close()
                self._events(parser)
        except (ParseError, ValueError, LookupError, RecursionError) as error:
            raise Corrupt.because(
                self._name, f"is no XML that can be read ({type(error).__name__})"
            ) from None

    def _events(self, parser: "XMLPullParser[Any]") -> None:
        events: Any = parser.read_events()
        for event, element in events:
            if not hasattr(element, "tag"):
                continue
            if event == "start":
                self._started(element)
            elif element.tag in ("layer", "edge", "port", "rt_info", "data"):
                element.clear()

    def _started(self, element: Any) -> None:
        if element.tag == "net":
            self.version = str(element.get("version", ""))[:10]
        elif element.tag == "layer":
            self._layer(element)
        elif element.tag == "data" and element.get("offset") is not None:
            self._constant(element)

    def _layer(self, element: Any) -> None:
        self.layers += 1
        kind, opset = str(element.get("type")), str(element.get("version"))
        if not _OPSET.fullmatch(opset) or kind == "TensorIteratorExtension":
            raise NotAllowedFormat(
                f"{self._name!r} needs an operator of an extension", came=f"{opset}.{kind}"
            )
        if kind in _PORTS and len(self.ports[_PORTS[kind]]) < 50:
            self.ports[_PORTS[kind]].append(str(element.get("name"))[:100])

    def _constant(self, element: Any) -> None:
        numbers = [str(element.get(key, "")) for key in ("offset", "size")]
        if not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers):
            raise Corrupt.because(self._name, "has a constant that is described wrongly", came=numbers)
        if sum(map(int, numbers)) > self._size:
            raise Corrupt.because(self._name, "has constants past the end of the .bin beside it")
