"""What the dashboards show. `make dashboards` writes them into dashboards/, and a test asks Prometheus every query."""

import json
from pathlib import Path

from deploy.grafana.schema import Json, Query, Row, choice, dashboard, graph, heat_map, number, table

FOLDER = Path(__file__).with_name("dashboards")

# What the variables at the top of a dashboard pick.
_OF_VARIANT = 'model=~"$model", version=~"$version", variant=~"$variant"'
_OF_SERVER = 'instance=~"$instance"'
_NAME = "{{model}} {{version}} {{variant}}"
_BY_VARIANT = "sum by (model, version, variant)"
_REQUEST_BUCKET = "octet_request_duration_seconds_bucket"
_SERVER_ERROR = 'code=~"5.."'
_NO_GPU = "Empty where no server has an NVIDIA GPU."


def _rate(series: str, labels: str = "") -> str:
    return f"rate({series}{{{labels}}}[$__rate_interval])"


# ---- all servers and models


def fleet() -> Json:
    """Is everything up, how much is asked, how much fails, which server differs from the others."""
    now = [
        number("Servers that answer", "short", 'sum(up{job="octet"})', bad_below=1),
        number("Servers not ready", "short", "sum(1 - octet_ready)", bad_from=1),
        number("Requests", "reqps", f"sum({_rate('octet_requests_total')})"),
        number(
            "Failed, of all",
            "percentunit",
            f"(sum({_rate('octet_requests_total', _SERVER_ERROR)}) or vector(0))"
            f" / (sum({_rate('octet_requests_total')}) > 0)",
            bad_from=0.001,
        ),
        number("99 % answered within", "s", f"histogram_quantile(0.99, sum by (le) ({_rate(_REQUEST_BUCKET)}))"),
        number("Alerts", "short", 'count(ALERTS{alertname=~"Octet.*", alertstate="firing"}) or vector(0)', bad_from=1),
    ]
    requests = [
        graph("Requests by model", "reqps", Query('model:octet_requests:rate5m{model!=""}', "{{model}}"), stacked=True),
        graph("Answers by status", "reqps", Query(f"sum by (code) ({_rate('octet_requests_total')})", "{{code}}")),
        graph("Refused by reason", "reqps", Query(f"sum by (reason) ({_rate('octet_rejected_total')})", "{{reason}}")),
        graph(
            "99 % answered within, by model",
            "s",
            Query(
                f'histogram_quantile(0.99, sum by (model, le) (variant:{_REQUEST_BUCKET}:rate5m{{model!=""}}))',
                "{{model}}",
            ),
            Query("model:octet_request_duration_seconds:objective", "objective of {{model}}"),
        ),
        graph("Failed, of all, by model", "percentunit", Query("model:octet_errors:ratio_rate5m", "{{model}}")),
        graph(
            "Pace at which the month's allowance of failures is used up",
            "short",
            Query("model:octet_errors:ratio_rate1h / 0.001", "{{model}}, last hour"),
            Query("model:octet_errors:ratio_rate6h / 0.001", "{{model}}, last six hours"),
            description="At 1 it lasts the month. An alert fires at 14.4 over an hour and at 6 over six.",
        ),
    ]
    servers = [
        graph("Requests by server", "reqps", Query(f"sum by (instance) ({_rate('octet_requests_total')})")),
        graph("Fullest queue", "percentunit", Query("max by (instance) (octet_pending_rows / octet_queue_limit_rows)")),
        graph("Looks at the store that failed", "short", Query(_rate("octet_store_failures_total"), "{{instance}}")),
        graph("Processor, in cores", "short", Query(_rate("process_cpu_seconds_total", 'job="octet"'), "{{instance}}")),
        graph("Memory", "bytes", Query('process_resident_memory_bytes{job="octet"}', "{{instance}}")),
        graph("Open files and connections", "short", Query('process_open_fds{job="octet"}', "{{instance}}")),
    ]
    state = [
        table("Alerts", 'ALERTS{alertname=~"Octet.*"}', "alertstate", "alertname", "severity", "instance", "model"),
        table("What is loaded", "octet_model_info", "model", "version", "variant", "engine", "instance"),
        table("Versions that run", "octet_build_info", "instance", "version", "onnxruntime", "python"),
    ]
    rows = [Row("Now", now, 6), Row("Requests", requests), Row("Servers", servers), Row("State", state)]
    return dashboard("octet-fleet", "Octet: fleet", str(fleet.__doc__), rows)


# ---- one model


def model() -> Json:
    """How long the requests of a model take and where, what its batches are, how its variants differ."""
    latency = [
        heat_map(
            "How long requests took",
            "s",
            f"sum by (le) (increase({_REQUEST_BUCKET}{{{_OF_VARIANT}}}[$__rate_interval]))",
            "Darker is more requests.",
        ),
        graph("Percentiles of requests", "s", *_percentiles("request")),
        graph(
            "Where the mean request's time goes",
            "s",
            Query(_mean("queue"), "queue"),
            Query(_mean("compute"), "engine"),
            Query(f"{_mean('request')} - {_mean('queue')} - {_mean('compute')}", "reading and writing"),
            description="Of all requests; those that were refused have neither queue nor engine.",
            stacked=True,
        ),
        graph("Percentiles of the queue", "s", *_percentiles("queue")),
        graph("Percentiles of the engine", "s", *_percentiles("compute")),
        graph("Failed, of all", "percentunit", Query(f"variant:octet_errors:ratio_rate5m{{{_OF_VARIANT}}}", _NAME)),
    ]
    load = [
        graph(
            "Answers by status",
            "reqps",
            Query(f"sum by (code) ({_rate('octet_requests_total', _OF_VARIANT)})", "{{code}}"),
            stacked=True,
        ),
        graph("Rows", "rowsps", Query(f"{_BY_VARIANT} ({_rate('octet_batch_rows_sum', _OF_VARIANT)})", _NAME)),
        graph("Clients that went away", "reqps", Query(f"sum({_rate('octet_cancelled_total', _OF_VARIANT)})", "all")),
        graph("Rows that wait", "short", Query(f"{_BY_VARIANT} (octet_pending_rows{{{_OF_VARIANT}}})", _NAME)),
        graph("Fullest queue", "percentunit", Query(f"variant:octet_queue:fill{{{_OF_VARIANT}}}", _NAME)),
        graph(
            "Batches by why they were formed",
            "ops",
            Query(f"sum by (reason) ({_rate('octet_batch_release_total', _OF_VARIANT)})", "{{reason}}"),
            description="idle: a worker was free. full: the batch held all it may. wait: max_wait_ms was over.",
        ),
    ]
    batches = [
        heat_map(
            "Rows of batches",
            "short",
            f"sum by (le) (increase(octet_batch_rows_bucket{{{_OF_VARIANT}}}[$__rate_interval]))",
            "Darker is more batches.",
        ),
        graph("Mean rows of a batch", "short", Query(f"variant:octet_batch_rows:mean5m{{{_OF_VARIANT}}}", _NAME)),
    ]
    variants = [
        graph("Requests", "reqps", Query(f"variant:octet_requests:rate5m{{{_OF_VARIANT}}}", _NAME), stacked=True),
        graph(
            "Half answered within", "s", Query(f"variant:octet_request_duration_seconds:p50{{{_OF_VARIANT}}}", _NAME)
        ),
        graph(
            "99 % answered within", "s", Query(f"variant:octet_request_duration_seconds:p99{{{_OF_VARIANT}}}", _NAME)
        ),
        graph("Half run within", "s", Query(f"variant:octet_compute_duration_seconds:p50{{{_OF_VARIANT}}}", _NAME)),
        table(
            "What is loaded",
            f"octet_model_info{{{_OF_VARIANT}}}",
            *("model", "version", "variant", "engine", "instance"),
        ),
        table(
            "Refused, and why",
            'octet_variant_refused_total{model=~"$model"}',
            *("model", "version", "variant", "reason", "instance"),
            value="times",
        ),
    ]
    rows = [
        Row("Latency", latency),
        Row("Load", load),
        Row("Batches", batches, 2),
        Row("Variants side by side", variants),
    ]
    choices = [
        choice("model", "label_values(octet_model_info, model)"),
        choice("version", 'label_values(octet_model_info{model=~"$model"}, version)'),
        choice("variant", 'label_values(octet_model_info{model=~"$model", version=~"$version"}, variant)'),
    ]
    return dashboard("octet-model", "Octet: model", str(model.__doc__), rows, choices)


def _percentiles(part: str) -> list[Query]:
    return [
        Query(f"variant:octet_{part}_duration_seconds:{name}{{{_OF_VARIANT}}}", f"{name} {_NAME}")
        for name in ("p50", "p90", "p99")
    ]


def _mean(part: str) -> str:
    """Seconds of a request, over all of them: those without this part count as 0."""
    series = f"octet_{part}_duration_seconds_sum"
    count = _rate("octet_request_duration_seconds_count", _OF_VARIANT)
    return f"sum({_rate(series, _OF_VARIANT)}) / (sum({count}) > 0)"


# ---- what runs the models


def engine() -> Json:
    """Which engines run with how many workers and threads, what they could not run, what a GPU does."""
    workers = [
        graph("Workers", "short", Query(f"octet_model_instances{{{_OF_SERVER}}}", f"{_NAME} {{{{instance}}}}")),
        graph(
            "Threads of a worker", "short", Query(f"octet_model_threads{{{_OF_SERVER}}}", f"{_NAME} {{{{instance}}}}")
        ),
        graph(
            "Processor, in cores",
            "short",
            Query(_rate("process_cpu_seconds_total", f'job="octet", {_OF_SERVER}'), "{{instance}}"),
        ),
        graph(
            "Half run within",
            "s",
            Query(_compute_quantile(0.5), f"{_NAME} {{{{instance}}}}"),
        ),
        graph("99 % run within", "s", Query(_compute_quantile(0.99), f"{_NAME} {{{{instance}}}}")),
        graph(
            "Batches",
            "ops",
            Query(
                f"sum by (model, version, variant, instance) ({_rate('octet_batch_rows_count', _OF_SERVER)})",
                f"{_NAME} {{{{instance}}}}",
            ),
        ),
    ]
    loading = [
        table(
            "What is loaded",
            f"octet_model_load_duration_seconds{{{_OF_SERVER}}} * on (instance, model, version, variant)"
            f" group_left (engine) octet_model_info{{{_OF_SERVER}}}",
            *("model", "version", "variant", "engine", "instance"),
            value="seconds to load",
        ),
        table(
            "Could not be loaded",
            f"octet_model_load_failures_total{{{_OF_SERVER}}}",
            *("model", "version", "instance"),
            value="times",
        ),
        table(
            "Refused, and why",
            f"octet_variant_refused_total{{{_OF_SERVER}}}",
            *("model", "version", "variant", "reason", "instance"),
            value="times",
        ),
        table(
            "Fell back to another engine",
            f"octet_engine_fallback_total{{{_OF_SERVER}}}",
            *("model", "version", "variant", "from", "to", "reason", "instance"),
            value="times",
        ),
    ]
    gpu = [
        graph(
            "GPU memory",
            "bytes",
            Query(f"octet_gpu_memory_used_bytes{{{_OF_SERVER}}}", "{{instance}} {{gpu}}"),
            Query(f"octet_gpu_memory_total_bytes{{{_OF_SERVER}}}", "{{instance}} {{gpu}}, there is"),
            description=_NO_GPU,
        ),
        graph(
            "GPU utilization",
            "percentunit",
            Query(f"octet_gpu_utilization_ratio{{{_OF_SERVER}}}", "{{instance}} {{gpu}}"),
            description=_NO_GPU,
        ),
    ]
    rows = [
        Row("Workers", workers),
        Row("Loading", loading, 2),
        Row("GPU: needs an NVIDIA GPU", gpu, 2),
    ]
    choices = [choice("instance", "label_values(octet_ready, instance)")]
    return dashboard("octet-engine", "Octet: engine", str(engine.__doc__), rows, choices)


def _compute_quantile(share: float) -> str:
    buckets = _rate("octet_compute_duration_seconds_bucket", _OF_SERVER)
    return f"histogram_quantile({share}, sum by (model, version, variant, instance, le) ({buckets}))"


DASHBOARDS = {"fleet": fleet, "model": model, "engine": engine}


def written(name: str) -> str:
    """The file of this dashboard."""
    return json.dumps(DASHBOARDS[name](), indent=2) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        FOLDER.joinpath(f"{name}.json").write_text(written(name), "utf-8")
