"""Chat templates from strangers."""

import pytest

from modelyard.errors import DeadlineExceeded, InvalidInput, TooLarge
from modelyard.serving import templates
from modelyard.serving.templates import TemplateProcess
from modelyard.types.chat import DEFAULT_TEMPLATE

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def rendering():
    made = []

    def make(text, **tokens):
        made.append(TemplateProcess(text, tokens))
        return made[-1]

    yield make
    for process in made:
        process.close()


def test_renders_as_transformers_does(rendering):
    transformers = pytest.importorskip("transformers")
    text = (
        "{{ bos_token }}{% for m in messages %}"
        "{% if loop.first and m.role == 'system' %}S{% continue %}{% endif %}\n"
        "  <|{{ m.role }}|>{{ m.content | trim }}{% generation %}{{ m | tojson }}"
        "{% endgeneration %}\n"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}{{ tools | tojson(indent=2) }}"
    )
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "  <b>ä &"}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    asked = {"tools": tools, "add_generation_prompt": True}
    from transformers.utils.chat_template_utils import render_jinja_template

    expected = render_jinja_template([messages], chat_template=text, bos_token="<s>", **asked)[0][0]
    assert transformers is not None
    assert rendering(text, bos_token="<s>").render(messages, **asked) == expected


def test_the_plain_one(rendering):
    process = rendering(DEFAULT_TEMPLATE)
    for _ in range(3):
        assert process.render(HELLO, add_generation_prompt=True) == "user: hello\nassistant:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for", "cannot be read"),
        ("{{ raise_exception('no systems') }}", "no systems"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "Security"),
        ("{{ nothing.at.all }}", "undefined"),
        ("{{ range(1000000) | list | length }}", "Range too big|Overflow"),
    ],
)
def test_templates_that_refuse(rendering, text, said):
    process = rendering(text)
    for _ in range(2):
        with pytest.raises(InvalidInput, match=said):
            process.render(HELLO)


def test_one_that_does_not_end_costs_its_own_request_alone(rendering, monkeypatch):
    monkeypatch.setattr(templates, "SECONDS", 0.2)
    monkeypatch.setattr(templates, "_STARTING", 20.0)
    process = rendering(
        "{% if messages[0].content == 'hello' %}{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% endfor %}{% endfor %}{% endif %}ok"
    )
    assert process.render([{"role": "user", "content": "x"}]) == "ok"
    with pytest.raises(DeadlineExceeded, match="does not end"):
        process.render(HELLO)
    assert process.render([{"role": "user", "content": "x"}]) == "ok"


def test_one_that_grows_without_end(rendering):
    process = rendering("{% for m in messages %}{{ m.content * 3000000 }}{% endfor %}")
    with pytest.raises((TooLarge, InvalidInput)):
        process.render([{"role": "user", "content": "hello" * 10}])
    assert process.render([{"role": "user", "content": ""}]) == ""
