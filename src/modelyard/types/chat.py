"""Conversations as one text: what renders them where a model brings no template of its own."""

from typing import Final

DEFAULT_TEMPLATE: Final = (
    "{{ bos_token | default('') }}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token | default('') }}{% endif %}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""Jinja, as Hugging Face renders chat templates. An answer is " text" and the model's end token: after "assistant:"
comes a space, as in text that base models have read, and no prompt ends in a space, which tokenizers would cut off
the next word. The line's end is a value: templates are rendered with a line's end after a block left out."""

DEFAULT_STOPS: Final = ("\nuser:", "\nsystem:", "\nassistant:", "\ntool:")
"""Where an answer to that template ends too: a model that was never taught to stop goes on with the next turn."""
