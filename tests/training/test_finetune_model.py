from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import InvalidInput
from modelyard.training.finetune_base import Base, open_base
from modelyard.training.finetune_examples import Example
from modelyard.training.finetune_model import check_packing, prepare, trained_parameters
from modelyard.training.finetune_recipe import FinetuneTraining
from modelyard.training.packing import lay_out
from modelyard.training.perplexity import logits_of, surprise, token_losses
from tiny_language_model import write_package


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    return open_base(tmp_path, write_package(tmp_path, request.param), "tiny")


def documents(*lengths: int) -> list[Example]:
    rng = np.random.default_rng(0)
    made = []
    for length in lengths:
        counted = np.ones(length, bool)
        counted[0] = False
        made.append(Example(ids=rng.integers(3, 300, length), counted=counted))
    return made


def test_a_packed_document_is_answered_as_alone(base: Base) -> None:
    docs = documents(9, 5, 12)
    check_packing(base.model, docs, 0)
    with torch.inference_mode():
        together = logits_of(base.model, lay_out([docs], 0), packed=True)[0]
        alone = torch.cat([logits_of(base.model, lay_out([[d]], 0), packed=False)[0] for d in docs])
        # Without positions they do look across: the test can fail.
        leaking = logits_of(base.model, lay_out([docs], 0), packed=False)[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert float((leaking - alone).abs().max()) > 1e-3


def test_packed_or_alone_the_loss_and_its_gradient_are_the_same(base: Base) -> None:
    docs = documents(9, 5, 12)
    gradients = []
    for batches, packed in (([lay_out([docs], 0)], True), ([lay_out([[d] for d in docs], 0)], False)):
        base.model.zero_grad()
        loss = sum(token_losses(base.model, batch, packed).sum() for batch in batches)
        loss.backward()  # type: ignore[union-attr]
        gradients.append(torch.cat([p.grad.flatten() for p in base.model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


def test_a_model_that_looks_across_documents_is_refused(base: Base) -> None:
    class Deaf(torch.nn.Module):
        """Takes positions and does not heed them."""

        device = "cpu"

        def forward(self, position_ids: Any = None, **named: Any) -> Any:
            return base.model(**named)

    class Without(torch.nn.Module):
        device = "cpu"

        def forward(self, input_ids: Any, use_cache: bool) -> Any:
            return base.model(input_ids=input_ids, use_cache=use_cache)

    for model in (Deaf(), Without()):
        with pytest.raises(InvalidInput, match=r"does not keep packed documents apart.*packing: false"):
            check_packing(model, documents(9, 9), 0)
    with pytest.raises(InvalidInput, match="does not keep packed documents apart"):
        check_packing(Deaf(), documents(9), 0)


def test_surprise_is_of_each_document(base: Base) -> None:
    docs = documents(9, 5, 12, 30)
    found = surprise(base.model, docs, 40, 0, lambda: None)
    assert found.tokens.tolist() == [8, 4, 11, 29]
    for number, document in enumerate(docs):
        with torch.inference_mode():
            logits = base.model(input_ids=torch.from_numpy(document.ids[None])).logits[0]
        expected = torch.nn.functional.cross_entropy(
            logits[:-1], torch.from_numpy(document.ids[1:]), reduction="sum"
        )
        assert found.loss[number] == pytest.approx(float(expected), rel=1e-4)
    assert found.mean == pytest.approx(found.loss.sum() / 52)


def test_lora_begins_at_the_base_and_trains_its_matrices_alone(base: Base) -> None:
    batch = lay_out([documents(9)], 0)
    with torch.inference_mode():
        before = logits_of(base.model, batch, packed=True)
    model = prepare(base, FinetuneTraining(rank=2, seed=3))
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(logits_of(model, batch, packed=True), before)
    names = trained_parameters(model)
    assert names
    assert all("lora_" in name for name in names)


def test_the_seed_decides_the_matrices(tmp_path: Path) -> None:
    manifest = write_package(tmp_path)
    drawn = []
    for seed in (3, 3, 4):
        model = prepare(open_base(tmp_path, manifest, "tiny"), FinetuneTraining(rank=2, seed=seed))
        drawn.append(torch.cat([p.flatten() for p in trained_parameters(model).values()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_only_the_layers_that_are_named_get_matrices(tmp_path: Path) -> None:
    base = open_base(tmp_path, write_package(tmp_path), "tiny")
    model = prepare(base, FinetuneTraining(target_modules=("q_proj",)))
    assert len(trained_parameters(model)) == 4
    assert all("q_proj" in name for name in trained_parameters(model))
