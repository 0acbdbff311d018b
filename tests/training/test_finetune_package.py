from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import ParityMismatch
from modelyard.training.finetune_base import Base, open_base, quiet
from modelyard.training.finetune_examples import Example
from modelyard.training.finetune_model import prepare, trained_parameters
from modelyard.training.finetune_package import Behaviour, behaviour, compare, write_base, write_trained
from modelyard.training.finetune_recipe import FinetuneTraining
from tiny_language_model import write_package


@pytest.fixture
def probes() -> list[Example]:
    ids = [np.concatenate([[1], np.random.default_rng(n).integers(3, 300, 20)]) for n in range(3)]
    return [Example(ids=one, counted=np.ones(21, bool)) for one in ids]


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return open_base(tmp_path / "base", write_package(tmp_path / "base"), "tiny")


def moved(base: Base, **said: Any) -> Base:
    """With LoRA whose matrices are not zero."""
    base.model = prepare(base, FinetuneTraining(rank=4, **said))
    with torch.no_grad():
        for parameter in trained_parameters(base.model).values():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return base


@pytest.mark.parametrize("merge", [False, True])
def test_adapter_and_merged_answer_as_the_trained_model(
    base: Base, probes: list[Example], tmp_path: Path, merge: bool
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    untrained = behaviour(base.model, base, probes)
    moved(base)
    own = behaviour(base.model.eval(), base, probes)
    assert [r.answer for r in own.replies] != [r.answer for r in untrained.replies]
    out = tmp_path / "out"
    out.mkdir()
    write_base(base, tmp_path / "base", out, weights=not merge)
    packaged = write_trained(base, out, merge, probes)
    assert 0 < packaged.worst < 1e-4
    assert (out / "adapter").exists() != merge
    model = AutoModelForCausalLM.from_pretrained(out / "huggingface")
    if not merge:
        with quiet():
            model = PeftModel.from_pretrained(model, out / "adapter")
    compare(own, behaviour(model.eval(), base, probes), "")
    for reply in own.replies:  # by transformers' own search, too
        ids = torch.tensor([reply.prompt])
        drawn = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=len(reply.answer),
        )
        assert drawn[0, len(reply.prompt) :].tolist() == list(reply.answer)


@pytest.mark.parametrize("merge", [False, True])
def test_the_bases_own_files_stay_as_they_were(
    base: Base, probes: list[Example], tmp_path: Path, merge: bool
) -> None:
    """They may be links to its blobs."""
    files = [path for path in (tmp_path / "base").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    out = tmp_path / "out"
    out.mkdir()
    write_base(base, tmp_path / "base", out, weights=not merge)
    write_trained(moved(base), out, merge, probes)
    assert {path: path.read_bytes() for path in files} == before
    same = (out / "huggingface/model.safetensors").samefile(tmp_path / "base/huggingface/model.safetensors")
    assert same != merge
    assert (out / "LICENCE").read_text() == "Anybody may.\n"
    names = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"tokenizer.json", "tokenizer_config.json", "config.json", "replies.json"} <= names
    assert not [name for name in names if name.endswith((".md", ".bin", ".pt"))]


def test_an_adapter_names_no_place_and_is_the_same_each_time(
    base: Base, probes: list[Example], tmp_path: Path
) -> None:
    import json

    out = tmp_path / "out"
    out.mkdir()
    write_base(base, tmp_path / "base", out, weights=True)
    write_trained(moved(base), out, False, probes)
    text = (out / "adapter/adapter_config.json").read_text()
    assert str(tmp_path) not in text
    config = json.loads(text)
    assert config["target_modules"] == sorted(config["target_modules"])


def test_weights_that_are_not_the_trained_ones_are_refused(
    base: Base, probes: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard.training import finetune_package

    written = finetune_package._write_adapter

    def broken(model: Any, folder: Path) -> None:
        with torch.no_grad():
            next(iter(trained_parameters(model).values())).add_(0.5)
        written(model, folder)
        with torch.no_grad():
            next(iter(trained_parameters(model).values())).sub_(0.5)

    monkeypatch.setattr(finetune_package, "_write_adapter", broken)
    out = tmp_path / "out"
    out.mkdir()
    write_base(base, tmp_path / "base", out, weights=True)
    with pytest.raises(ParityMismatch, match="as it was written does not answer as it did in training"):
        write_trained(moved(base), out, False, probes)


def test_replies_may_part_only_where_two_tokens_are_as_likely(base: Base, probes: list[Example]) -> None:
    own = behaviour(base.model, base, probes)
    reply = own.replies[0]
    other = changed(reply, answer=(reply.answer[0] + 1, *reply.answer[1:]))
    parted = Behaviour(logits=own.logits, replies=(other, *own.replies[1:]))
    with pytest.raises(ParityMismatch, match=r"goes on in another way.*at place 0"):
        compare(own, parted, "merged")
    level = changed(reply, logits=torch.zeros_like(reply.logits))
    compare(changed(own, replies=(level, *own.replies[1:])), parted, "merged")


def test_replies_are_texts_with_log_probabilities(base: Base, probes: list[Example], tmp_path: Path) -> None:
    from modelyard.packages import replies

    out = tmp_path / "out"
    out.mkdir()
    own = behaviour(base.model, base, probes)
    write_base(base, tmp_path / "base", out, weights=False)
    tokenizer = base.tokenizer
    found = replies.read(out, write_trained(base, out, False, probes).replies)
    by_prompt = {tokenizer.decode(r.prompt, skip_special_tokens=True): r for r in own.replies}
    assert found
    for told in found:
        reply = by_prompt[told.prompt]
        whole = tokenizer.decode([*reply.prompt, *reply.answer], skip_special_tokens=True)
        assert told.prompt + "".join(told.tokens) == whole
        best = reply.logits.log_softmax(dim=1).max(dim=1).values
        assert told.logprobs == pytest.approx(best.tolist(), abs=1e-5)
