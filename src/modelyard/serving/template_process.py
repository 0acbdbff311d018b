"""Renders one chat template, a JSON line at a time: `python -m modelyard.serving.template_process`.

The first line is {"template", "tokens"}; each one after it {"messages", "named"} and is answered with {"text"} or
{"error"}. What templates may use is what transformers gives them (`apply_chat_template`): an immutable sandbox,
`raise_exception`, `strftime_now`, `tojson`, loop controls and the tag `generation`.
"""

import contextlib
import json
import resource
import sys
from datetime import datetime
from typing import Any, Final

_MEMORY: Final = 1 << 30
_FILES: Final = 64
_LONGEST_RANGE: Final = 100_000


def main() -> None:
    for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_NOFILE, _FILES)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    said = json.loads(sys.stdin.buffer.readline())
    try:
        template, error = _compiled(said["template"]), ""
    except Exception as failure:  # of the template's own text
        template, error = None, f"the template cannot be read: {_short(failure)}"
    for line in sys.stdin.buffer:
        answer = {"error": error} if template is None else _rendered(template, said["tokens"], line)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _compiled(text: str) -> Any:
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):  # type: ignore[misc]
        """{% generation %}: marks what training counts; in a rendered prompt it is nothing."""

        tags = {"generation"}  # noqa: RUF012  jinja2's own form

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(text)


def _rendered(template: Any, tokens: dict[str, str], line: bytes) -> dict[str, str]:
    asked = json.loads(line)
    try:
        return {"text": template.render(messages=asked["messages"], **tokens, **asked["named"])}
    except Exception as failure:  # whatever a template does with these messages
        return {"error": _short(failure)}


def _short(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:300]


if __name__ == "__main__":
    main()
