"""Plans: the arithmetic by hand, and what must hold of every plan."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelyard.errors import InvalidInput, UnknownName
from modelyard.planning import HARDWARE, KNOWN, Plan, Request, Shape, make_plan
from modelyard.planning.memory import PRECISIONS, cache_bytes

H100 = HARDWARE["h100"]


def hundred(**changes: object) -> Request:
    """A hundred billion parameters on a host of H100."""
    shape = Shape(name="100b", parameters=100e9, layers=80, hidden=10_240, heads=80, kv_heads=8, head_dim=128,
                  inner=40_960)  # fmt: skip
    return replace(Request(shape=shape, hardware=H100, count=8, streams=64), **changes)


def test_memory_by_hand() -> None:
    plan = make_plan(hundred())
    assert plan.weights == 200e9  # 100e9 x 2 bytes
    assert plan.cache_token == 2 * 80 * 8 * 128 * 2  # keys and values x layers x KV heads x head dim x bytes
    assert plan.cache_stream == plan.cache_token * 8192
    assert (plan.layout.tensor, plan.layout.pipeline, plan.layout.replicas) == (8, 1, 1)
    assert plan.layout.use.weights == 200e9 / 8
    assert plan.layout.use.cache == plan.cache_stream * 64 / 8
    assert plan.layout.fits
    assert plan.short == 0


def test_network_by_hand() -> None:
    network = make_plan(hundred()).network
    assert network.reduced == 160  # two a layer
    assert network.moved == pytest.approx(160 * 2 * 7 / 8 * 10_240 * 2)
    two = make_plan(hundred(count=16, tensor=8, pipeline=2))
    assert (two.layout.hosts, two.layout.crosses) == (2, 1)
    assert two.network.passed == 10_240 * 2


def test_decoding_by_hand() -> None:
    """All weights and all caches are read once a step, over eight memories at 3.35 TB/s."""
    plan = make_plan(hundred(efficiency=1.0))
    assert plan.decode
    assert plan.cost
    read = (200e9 + 64 * 8192 * 327_680) / 8 / 3.35e12
    assert plan.decode.reading == pytest.approx(read)
    sent = 160 * 10e-6 + 64 * plan.network.moved / 450e9
    assert plan.decode.seconds == pytest.approx(read + sent)
    assert plan.cost.decoding == pytest.approx(64 / (read + sent))
    assert plan.decode.bound == "memory bandwidth"


def test_prefill_by_hand() -> None:
    """Two operations a parameter and token, but the vocabulary's matrix for the last token alone; and attention."""
    plan = make_plan(hundred(efficiency=1.0, context=4096, answer=2048, tensor=8))
    assert plan.prefill
    vocabulary = 128_000 * 10_240
    operations = 2 * (100e9 - vocabulary) * 2048 + 2 * vocabulary + 4 * 80 * 128 * 80 * 2048**2 / 2
    assert plan.prefill.computing == pytest.approx(operations / 8 / 989.5e12)


def test_cost_is_the_hour_over_the_tokens_of_an_hour() -> None:
    cost = make_plan(hundred()).cost
    assert cost
    assert cost.hour == 24
    assert cost.million_all == pytest.approx(24 / (cost.answers * 3600) * 1e6)
    whole = make_plan(hundred(hardware=replace(H100, price=6.0))).cost
    assert whole
    assert whole.million_all == pytest.approx(2 * cost.million_all)


def test_a_request_costs_its_prompt_and_its_answer() -> None:
    plan = make_plan(hundred())
    assert plan.cost
    parts = plan.prompt * plan.cost.million_prompt + plan.answer * plan.cost.million_answer
    assert plan.answer * plan.cost.million_all == pytest.approx(parts)


def test_more_parts_than_kv_heads_keep_copies_of_them() -> None:
    request = Request(shape=KNOWN["qwen2.5-7b"], hardware=H100, count=8, streams=8)  # 28 heads, 4 KV heads
    plan = make_plan(replace(request, tensor=4))
    assert plan.layout.use.cache == plan.cache_stream * 4 / 4  # two copies of the model, four streams each
    with pytest.raises(InvalidInput, match="cut so"):
        make_plan(replace(request, tensor=8))


def test_what_fits_whole_is_copied_rather_than_cut() -> None:
    layout = make_plan(Request(shape=KNOWN["llama-3.1-8b"], hardware=H100, count=8)).layout
    assert (layout.group, layout.replicas, layout.streams) == (1, 8, 2)


def test_stages_go_between_hosts() -> None:
    layout = make_plan(Request(shape=KNOWN["llama-3.1-405b"], hardware=H100, count=16, streams=64)).layout
    assert (layout.tensor, layout.pipeline, layout.hosts) == (8, 2, 2)
    assert "between hosts" in layout.why


def test_what_does_not_fit_says_by_how_much_and_what_would() -> None:
    request = Request(shape=KNOWN["llama-3.1-405b"], hardware=H100, count=8, streams=64)
    plan = make_plan(request)
    assert plan.decode is plan.prefill is plan.cost is None
    assert plan.short == pytest.approx(plan.layout.use.total - 0.9 * 80e9)
    assert plan.remedies == ["--precision int4", "--hardware h100x16"]
    assert make_plan(replace(request, precision="int4")).layout.fits
    assert make_plan(replace(request, count=16)).layout.fits


def test_remedies_of_streams_and_context_are_the_most_that_fit() -> None:
    request = hundred(streams=512)
    remedies = dict(r.split() for r in make_plan(request).remedies)
    streams, context = int(remedies["--streams"]), int(remedies["--context"])
    assert make_plan(replace(request, streams=streams)).layout.fits
    assert not make_plan(replace(request, streams=streams + 1)).layout.fits
    assert make_plan(replace(request, context=context)).layout.fits
    assert not make_plan(replace(request, context=context + 1)).layout.fits


def test_hardware_without_an_arithmetic_says_what_it_does_instead() -> None:
    request = Request(shape=KNOWN["llama-3.1-8b"], hardware=HARDWARE["a100"], precision="fp8")
    assert any("fp8: it is done in bf16" in note for note in make_plan(request).notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"context": 1}, "context"),
        ({"streams": 0}, "streams"),
        ({"count": 0}, "accelerators"),
        ({"answer": 8192}, "answer"),
        ({"efficiency": 0.0}, "roofline"),
        ({"tensor": 3}, "heads"),
        ({"tensor": 8, "pipeline": 2}, "more accelerators"),
        ({"pipeline": 81}, "stages"),
        ({"precision": "mxfp4"}, "experts"),
    ],
)
def test_what_cannot_be_asked_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make_plan(hundred(**change))


def test_an_unknown_precision_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'bf16'"):
        make_plan(hundred(precision="bf61"))


def test_a_plan_is_json() -> None:
    said = msgspec.json.decode(msgspec.json.encode(make_plan(hundred())))
    assert said["cost"]["hour"] == 24


requests = st.builds(
    Request,
    shape=st.sampled_from(sorted(KNOWN)).map(KNOWN.__getitem__),
    hardware=st.sampled_from(sorted(HARDWARE)).map(HARDWARE.__getitem__),
    count=st.sampled_from([1, 2, 4, 8, 16, 24]),
    context=st.integers(2, 200_000),
    streams=st.integers(1, 2000),
    precision=st.sampled_from([None, *(p for p in PRECISIONS if p != "mxfp4")]),
    kv_precision=st.sampled_from(["bf16", "fp8"]),
)


def need(plan: Plan) -> float:
    """Bytes of one copy's weights and all caches."""
    return plan.weights + plan.cache_stream * plan.request.streams


def timed(plan: Plan) -> tuple[float, float, float]:
    """Of one that fits: a step, a prompt, a million tokens."""
    assert plan.decode
    assert plan.prefill
    assert plan.cost
    return plan.decode.seconds, plan.prefill.seconds, plan.cost.million_all


@given(requests, st.integers(1, 100_000), st.integers(1, 1000))
def test_more_is_never_less(request: Request, tokens: int, streams: int) -> None:
    plan = make_plan(request)
    longer = make_plan(replace(request, context=request.context + tokens))
    wider = make_plan(replace(request, streams=request.streams + streams))
    bigger = make_plan(
        replace(request, shape=replace(request.shape, parameters=request.shape.parameters * 1.5))
    )
    for other in (longer, wider, bigger):
        assert need(other) >= need(plan)
        assert plan.layout.fits or not other.layout.fits
        assert other.layout.group >= plan.layout.group or not other.layout.fits
    assert longer.room <= plan.room
    assert bigger.room <= plan.room
    assert wider.room == plan.room


@given(requests, st.integers(1, 50_000))
def test_longer_is_never_faster(request: Request, tokens: int) -> None:
    """On the same cut; another one may be faster."""
    plan = make_plan(request)
    assume(plan.layout.fits)
    cut = replace(request, tensor=plan.layout.tensor, pipeline=plan.layout.pipeline)
    longer = make_plan(replace(cut, context=request.context + tokens, answer=plan.answer))
    assume(longer.layout.fits)
    for one, other in zip(timed(plan), timed(longer), strict=True):
        assert other >= one


@given(requests)
def test_the_bound_is_never_passed(request: Request) -> None:
    plan = make_plan(request)
    assume(plan.layout.fits)
    assert plan.decode
    assert plan.prefill
    assert plan.cost
    for step in (plan.decode, plan.prefill):
        assert step.seconds >= max(step.reading, step.computing, step.sending)
        assert step.busy <= step.seconds
    assert plan.cost.answers <= plan.cost.decoding
    assert plan.layout.use.total <= plan.layout.usable < request.hardware.memory
    assert plan.layout.group * plan.layout.replicas <= request.count


@given(requests)
def test_every_remedy_is_one(request: Request) -> None:
    plan = make_plan(request)
    assume(not plan.layout.fits)
    changes = {"--streams": "streams", "--context": "context", "--precision": "precision",
               "--kv-precision": "kv_precision"}  # fmt: skip
    for remedy in plan.remedies:
        flag, value = remedy.split()
        if flag == "--hardware":
            changed = replace(request, count=int(value.rpartition("x")[2]))
        else:
            changed = replace(request, **{changes[flag]: int(value) if value.isdigit() else value})
        assert make_plan(changed).layout.fits, remedy


@given(st.integers(1, 200_000), st.integers(1, 1000))
def test_a_cache_is_a_line_where_no_layer_has_a_window(context: int, more: int) -> None:
    shape = KNOWN["llama-3.1-8b"]
    each = cache_bytes(shape, 1, 16)
    assert cache_bytes(shape, context + more, 16) == each * (context + more)
    assert cache_bytes(KNOWN["gpt-oss-20b"], context, 16) <= cache_bytes(
        KNOWN["gpt-oss-20b"], context + more, 16
    )
