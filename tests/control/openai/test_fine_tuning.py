"""Fine-tuning jobs of a tiny model, with the stock client, through the real gateway, control and launcher."""

import csv
import io
import json

import openai
import pytest

from control_seed import add_run
from modelyard.control.services import fine_tuning
from modelyard.store.openai import FineTuningJob
from modelyard.store.work import Run
from tiny_language_model import TEXTS
from waiting import wait_until

from .conftest import error_of

ENDED = ("succeeded", "failed", "cancelled")
SMALL = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 2}}}


def lines(*objects):
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


def texts(count=16, start=0):
    return lines(*({"text": TEXTS[n % len(TEXTS)] + f" {n}"} for n in range(start, start + count)))


def keep(site, data):
    return site.client.files.create(file=("train.jsonl", data), purpose="fine-tune").id


def ended(site, job_id, seconds=120):
    def look():
        job = site.client.fine_tuning.jobs.retrieve(job_id)
        return job if job.status in ENDED else None

    return wait_until(look, seconds, job_id)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_job_from_its_files_to_a_model_that_answers(stocked):
    jobs = stocked.client.fine_tuning.jobs
    training, validation = keep(stocked, texts()), keep(stocked, texts(4, 100))
    made = jobs.create(model="tiny", training_file=training, validation_file=validation, method=SMALL,
                       suffix="My Cats!", seed=7, metadata={"team": "a"})  # fmt: skip
    assert made.id.startswith("ftjob-")
    assert (made.object, made.model, made.training_file, made.validation_file, made.seed) == (
        "fine_tuning.job", "tiny", training, validation, 7,
    )  # fmt: skip
    assert made.status in ("validating_files", "queued")
    assert (made.fine_tuned_model, made.finished_at, made.error) == (None, None, None)
    assert (made.hyperparameters.n_epochs, made.hyperparameters.learning_rate_multiplier) == (2, "auto")
    job = ended(stocked, made.id)
    assert job.status == "succeeded", job
    assert job.fine_tuned_model == "ft-tiny-my-cats"
    assert job.finished_at >= job.created_at
    assert job.metadata == {"team": "a"}
    assert job.trained_tokens > 0
    _check_results(stocked, job)
    _check_events(jobs, job)
    (checkpoint,) = jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == "ft-tiny-my-cats:1"
    assert checkpoint.fine_tuning_job_id == job.id
    assert checkpoint.step_number > 0
    assert checkpoint.metrics.valid_loss is not None
    _check_lineage(stocked, job)
    stocked.platform.post("deployments", {"name": job.fine_tuned_model, "model": job.fine_tuned_model})
    wait_until(
        lambda: stocked.platform.get(f"deployments/{job.fine_tuned_model}")["state"] == "ready", 60, "ready"
    )
    said = stocked.client.completions.create(
        model=job.fine_tuned_model, prompt="the cat sat", max_tokens=4, temperature=0
    )
    assert said.usage.completion_tokens > 0


def _check_results(site, job):
    def made():
        return site.client.fine_tuning.jobs.retrieve(job.id).result_files

    (file,) = wait_until(made, 20, "the results")
    rows = list(csv.DictReader(io.StringIO(site.client.files.content(file).text)))
    assert rows[0]["step"] == "0"
    assert float(rows[-1]["train_loss"]) > 0
    assert float(rows[-1]["valid_loss"]) < float(rows[0]["valid_loss"])
    assert site.client.files.retrieve(file).purpose == "fine-tune-results"


def _check_events(jobs, job):
    events = list(jobs.list_events(job.id, limit=3))  # in pages
    messages = [event.message for event in events]
    assert messages[:2] == [
        "The job has successfully completed", "New fine-tuned model created: ft-tiny-my-cats:1",
    ]  # fmt: skip
    assert messages[-1] == f"Created fine-tuning job: {job.id}"
    assert len({event.id for event in events}) == len(events)
    metrics = [event.data for event in events if event.type == "metrics"]
    assert [m["step"] for m in metrics] == sorted((m["step"] for m in metrics), reverse=True)
    assert any("train_loss" in m for m in metrics)
    assert any("valid_loss" in m for m in metrics)


def _check_lineage(site, job):
    model = site.platform.get("models/ft-tiny-my-cats")
    version = site.platform.get("models/ft-tiny-my-cats/versions/1")
    base = site.platform.get("models/tiny/versions/1")
    assert model["task"] == "text-generation"
    assert version["parent"] == base["digest"] or version["lineage"]["parent"] == base["digest"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "examples",
    [
        [{"messages": [{"role": "user", "content": f"who {n}"}, {"role": "assistant", "content": "the cat sat"}]}
         for n in range(8)],
        [{"prompt": f"who sat {n}", "completion": " the cat"} for n in range(8)],
    ],
)  # fmt: skip
def test_other_forms_of_examples(stocked, examples):
    job = stocked.client.fine_tuning.jobs.create(
        model="tiny:1", training_file=keep(stocked, lines(*examples)), method=SMALL
    )
    job = ended(stocked, job.id)
    assert (job.status, job.fine_tuned_model) == ("succeeded", "ft-tiny"), job


@pytest.mark.slow
def test_a_job_whose_data_cannot_be_used(stocked):
    """One example: there is nothing to hold out."""
    made = stocked.client.fine_tuning.jobs.create(model="tiny", training_file=keep(stocked, texts(1)))
    job = ended(stocked, made.id)
    assert (job.status, job.fine_tuned_model) == ("failed", None)
    assert "hold out" in job.error.message
    assert job.finished_at is not None
    newest = stocked.client.fine_tuning.jobs.list_events(made.id, limit=1).data[0]
    assert (newest.level, newest.message) == ("error", job.error.message)
    assert list(stocked.client.fine_tuning.jobs.checkpoints.list(made.id)) == []


@pytest.mark.slow
def test_cancelling(stocked):
    jobs = stocked.client.fine_tuning.jobs
    long = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1000}}}
    made = jobs.create(model="tiny", training_file=keep(stocked, texts(64)), method=long, suffix="never")
    wait_until(lambda: jobs.retrieve(made.id).status == "running", 60, "running")
    cancelled = jobs.cancel(made.id)
    assert (cancelled.status, cancelled.fine_tuned_model) == ("cancelled", None)
    assert cancelled.finished_at is not None
    with pytest.raises(openai.BadRequestError, match="ended already"):
        jobs.cancel(made.id)
    early = jobs.create(model="tiny", training_file=keep(stocked, texts()), suffix="never")
    assert jobs.cancel(early.id).status == "cancelled"
    wait_until(lambda: all(r["state"] in ENDED for r in stocked.platform.get("runs")["items"]), 60, "the end")
    assert "ft-tiny-never" not in [m["name"] for m in stocked.platform.get("models")["items"]]
    assert jobs.list_events(made.id, limit=1).data[0].message == "The job was cancelled"


@pytest.mark.slow
def test_lists(stocked):
    jobs = stocked.client.fine_tuning.jobs
    listed = [job.id for job in jobs.list(limit=2)]
    assert listed == sorted(listed, reverse=True)
    assert len(set(listed)) == len(listed)
    for query, param in (("limit=1000000000", "limit"), ("limit=0", "limit"), ("after=x", "after")):
        stocked.refused("GET", f"fine_tuning/jobs?{query}", 400, param)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "nothing"}, 404, "model"),
        ({"model": "tiny:9"}, 404, "model"),
        ({"model": "../x"}, 404, "model"),
        ({"model": "colours"}, 400, "model"),
        ({"model": 1}, 400, "model"),
        ({"training_file": "file-" + "0" * 26}, 404, "training_file"),
        ({"training_file": None}, 400, "training_file"),
        ({"validation_file": "x"}, 404, "validation_file"),
        ({"suffix": ""}, 400, "suffix"),
        ({"suffix": "!!!"}, 400, "suffix"),
        ({"suffix": "x" * 65}, 400, "suffix"),
        ({"seed": -1}, 400, "seed"),
        ({"seed": 10**400}, 400, "seed"),
        ({"seed": True}, 400, "seed"),
        ({"metadata": {"x": "y" * 513}}, 400, "metadata"),
        ({"hyperparameters": {"n_epochs": 0}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 10**9}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": "many"}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": -1}}, 400, "hyperparameters.batch_size"),
        (
            {"hyperparameters": {"learning_rate_multiplier": 1e9}},
            400,
            "hyperparameters.learning_rate_multiplier",
        ),
        ({"hyperparameters": {"rank": 1}}, 400, "hyperparameters.rank"),
        ({"method": {"type": "dpo"}}, 400, "method.type"),
        ({"method": {"type": "supervised", "dpo": {"x": 1}}}, 400, "method"),
        ({"method": {}}, 400, "method.type"),
        ({"integrations": [{"type": "wandb"}]}, 400, "integrations"),
        ({"owner": "me"}, 400, "owner"),
    ],
)
def test_jobs_that_are_none(stocked, change, status, param):
    given = {"model": "tiny", "training_file": _one_file(stocked)}
    response = stocked.ask("POST", "fine_tuning/jobs", content=json.dumps({**given, **change}),
                          headers={"Content-Type": "application/json"})  # fmt: skip
    error_of(response, status, param)


def _one_file(site, _made={}):  # noqa: B006  (one for all)
    return (
        _made.setdefault(site.url, None) or _made.update({site.url: keep(site, texts())}) or _made[site.url]
    )


@pytest.mark.slow
def test_files_that_do_not_fit(stocked):
    given = {"model": "tiny", "training_file": _one_file(stocked)}
    other = keep(stocked, lines({"prompt": "a", "completion": "b"}))
    batch = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m"}}
    for_batches = stocked.client.files.create(file=("a.jsonl", lines(batch)), purpose="batch").id
    for change, param in (
        ({"validation_file": given["training_file"]}, "validation_file"),
        ({"validation_file": other}, "validation_file"),
        ({"training_file": for_batches}, "training_file"),
    ):
        stocked.refused("POST", "fine_tuning/jobs", 400, param, json={**given, **change})


@pytest.mark.slow
@pytest.mark.parametrize("job", ["ftjob-" + "0" * 26, "nothing", "%00"])
def test_jobs_that_are_not_there(stocked, job):
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/checkpoints")):
        stocked.refused(method, f"fine_tuning/jobs/{job}{path}", 404, "fine_tuning_job_id")


# What control does by itself.


@pytest.mark.parametrize(
    ("base", "suffix", "name"),
    [
        ("gemma", None, "ft-gemma"),
        ("gemma", "Jane Austen", "ft-gemma-jane-austen"),
        ("gemma", "..//", "ft-gemma"),
        ("g" * 63, "x" * 64, "ft-" + "g" * 19 + "-" + "x" * 40),
    ],
)
def test_names(base, suffix, name):
    assert fine_tuning.name_of(base, suffix) == name
    assert len(name) <= 63


def add_job(platform, prepared, train=None, **fields):
    run = add_run(
        platform,
        state=prepared,
        kind="prepare",
        ended_at=5.0,
        outputs={"dataset": {"name": "d", "version": 1}},
    )
    with platform.database.write() as session:
        job = FineTuningJob(
            id="ftjob-" + run.partition("_")[2], tenant="default", model="m", base="m:1", name="ft-m", dataset="d",
            training_file="file-x", validation_file=None,
            method={"asked": {}, "recipe": {"task": "text-generation", "name": "ft-m", "base": "m:1"}}, seed=0,
            notes={}, prepare_run=run, train_run=train, result_file=None, cancelled_at=None, error=None,
            created_at=1.0, ended_at=None, **fields,
        )  # fmt: skip
        session.add(job)
    return job.id


def look(platform, job_id):
    with platform.database.read() as session:
        job = session.get_one(FineTuningJob, job_id)
        return fine_tuning.state_of(session, job), job


def test_another_tenants_job_is_not_there(platform):
    job_id = add_job(platform, "running")
    with platform.database.read() as session:
        assert fine_tuning.find(session, "default", job_id).id == job_id
        assert fine_tuning.find(session, "other", job_id) is None


def test_a_base_that_went_meanwhile_fails_the_job(platform):
    job_id = add_job(platform, "succeeded")
    assert look(platform, job_id)[0] == "queued"
    fine_tuning.advance(platform)
    state, job = look(platform, job_id)
    assert (state, job.error["code"]) == ("failed", "not_found")
    assert job.ended_at is not None


@pytest.mark.parametrize(("prepared", "state"), [("failed", "failed"), ("cancelled", "cancelled")])
def test_a_first_run_that_came_to_nothing(platform, prepared, state):
    job_id = add_job(platform, prepared)
    fine_tuning.advance(platform)
    found, job = look(platform, job_id)
    assert (found, job.ended_at, job.train_run) == (state, 5.0, None)


def test_a_cancelled_job_starts_nothing(platform):
    job_id = add_job(platform, "succeeded")
    fine_tuning.cancel(platform, "default", job_id)
    fine_tuning.advance(platform)
    state, job = look(platform, job_id)
    assert (state, job.train_run, job.error) == ("cancelled", None, None)


def test_a_model_that_came_in_spite_of_a_cancel_is_not_told_of(platform):
    train = add_run(platform, state="succeeded", kind="finetune", ended_at=9.0)
    job_id = add_job(
        platform,
        "succeeded",
        train,
    )
    with platform.database.write() as session:
        session.get_one(Run, train).state = "running"
    fine_tuning.cancel(platform, "default", job_id)
    with platform.database.write() as session:
        session.get_one(Run, train).state = "succeeded"
    fine_tuning.advance(platform)
    state, job = look(platform, job_id)
    assert (state, job.result_file) == ("cancelled", None)
