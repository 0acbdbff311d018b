import re

import httpx

from live_serving import TABLE


def series(gateway, key="key-metrics"):
    answer = httpx.get(gateway.url + "/metrics", headers={"Authorization": f"Bearer {key}"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


def value(text, name, *labels):
    for line in text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(label in line for label in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


COUNTED = (
    "nv_inference_request_success",
    "nv_inference_count",
    "nv_inference_exec_count",
    "modelyard_rows_total",
)


def test_counts_what_happened(gateway):
    before = series(gateway)
    headers = {"Authorization": "Bearer key-predict"}
    for _ in range(5):
        assert (
            httpx.post(gateway.url + "/v2/models/table/infer", headers=headers, json=TABLE).status_code == 200
        )
    assert httpx.post(gateway.url + "/v2/models/table/infer", headers=headers, json={}).status_code == 400
    assert httpx.post(gateway.url + "/v2/models/table/infer", json=TABLE).status_code == 401
    after = series(gateway, "key-admin")

    def grown(name, *labels):
        return value(after, name, *labels) - value(before, name, *labels)

    table = 'model="table",version="7"'
    assert [grown(name, table) for name in COUNTED] == [5, 5, 5, 5]
    assert grown("nv_inference_request_failure", table) == 1
    assert grown("modelyard_requests_total", table, 'status="200"') == 5
    assert grown("modelyard_request_duration_seconds_count", table) == 6
    assert grown("modelyard_request_duration_seconds_bucket", table, 'le="+Inf"') == 6
    assert grown("modelyard_requests_refused_total", 'code="unauthorized"') == 1
    assert grown("nv_inference_request_duration_us", table) > 0
    assert grown("nv_inference_compute_infer_duration_us", table) > 0
    assert value(after, "modelyard_replicas_ready", table) == 1


def test_is_what_prometheus_reads(gateway):
    from prometheus_client.parser import text_string_to_metric_families

    families = {f.name: f for f in text_string_to_metric_families(series(gateway))}
    assert families["modelyard_request_duration_seconds"].type == "histogram"
    assert families["modelyard_requests"].type == "counter"
    buckets = [
        s.value
        for s in families["modelyard_request_duration_seconds"].samples
        if s.labels.get("model") == "table" and s.name.endswith("_bucket")
    ]
    assert buckets == sorted(buckets)


def test_names_no_key(gateway):
    assert not re.search("key-", series(gateway))
