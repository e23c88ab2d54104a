"""Which variant of a version answers: chosen, checked, replaced while requests run, named by a request.

Each variant adds a bias of its own, so an answer tells which one made it.
"""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from engines.machine import fingerprint
from model_store.records import NewVariant
from tests import graphs
from tests.service.conftest import Publish, Start, corrupt
from tests.service.networks import share_of_largest, slow
from tests.service.process import Octet, eventually
from tests.service.variants import add_variant, set_speed

ROWS = {"x": np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)}

UNCHECKED = "not compared with the published variant: it was stored without golden rows or report"


def variant_of(server: Octet, path: str = "m") -> str:
    answer = server.predict(path, {"instances": [[0, 0]]})
    assert answer.status_code == 200, answer.text
    return str(answer.headers["octet-variant"])


def variants(server: Octet) -> dict[str, dict[str, Any]]:
    """What the status says of each."""
    return {one["name"]: one for one in server.status("m", "1.0.0")["variants"]}


async def test_no_request_fails_while_variants_are_added_measured_and_swapped(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    biases = {"fp32": 1.0, "int8": 2.0, "fp16": 3.0}
    server = start("--refresh-seconds", "0.05")
    seen: list[list[str]] = []
    done = asyncio.Event()

    async def ask() -> None:
        names: list[str] = []
        seen.append(names)
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                answer = await client.post("/v1/models/m:predict", json={"instances": [[1, 5]]})
                assert answer.status_code == 200, answer.text
                names.append(answer.headers["octet-variant"])
                assert answer.json() == {"predictions": [[1 + biases[names[-1]], 5 + biases[names[-1]]]]}

    async def until(variant: str) -> None:
        """Until every client has got an answer of this variant."""
        async with asyncio.timeout(20):
            while not all(names and names[-1] == variant for names in seen):
                await asyncio.wait({clients}, timeout=0.01)
                assert not clients.done() or clients.result()

    clients = asyncio.gather(*(ask() for _ in range(3)))
    try:
        await until("fp32")
        record = store.resolve("m")
        record = await asyncio.to_thread(add_variant, store, tmp_path, record, "int8", graphs.adding(2), speedup=2.0)
        await until("int8")
        record = await asyncio.to_thread(add_variant, store, tmp_path, record, "fp16", graphs.adding(3), speedup=3.0)
        await until("fp16")
        await asyncio.to_thread(set_speed, store, record, "fp16", 0.5)
        await until("int8")
        await asyncio.to_thread(set_speed, store, record, "int8", 0.9)
        await until("fp32")
    finally:
        done.set()
        await clients
    loaded = {name: one["loaded"] for name, one in variants(server).items()}
    assert loaded == {"fp32": True, "int8": False, "fp16": False}
    assert not [line for line in server.log() if line["level"] in ("warning", "error")]
    swaps = [(line["before"], line["variant"]) for line in server.log("another variant answers")]
    assert swaps == [("fp32", "int8"), ("int8", "fp16"), ("fp16", "int8"), ("int8", "fp32")]
    assert server.sample('octet_requests_total{code="200",model="m",variant="fp16",version="1.0.0"}') > 0
    assert server.sample("octet_model_info") == 1, "what was replaced is freed"


def test_the_fastest_that_passed_serves_from_the_start_and_all_are_told(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
    record = add_variant(store, tmp_path, record, "int4", graphs.adding(3), speedup=9.0, accurate=False)
    add_variant(store, tmp_path, record, "slow", graphs.adding(4), speedup=0.5)
    server = start()
    assert variant_of(server) == "int8"
    status = server.status("m", "1.0.0")
    assert (status["variant"], status["notes"]) == ("int8", UNCHECKED)
    twice = {"throughput_ratio": 2.0, "batch_1_ratio": 2.0, "batched": True}
    assert variants(server)["int8"] == {
        "name": "int8", "engine": "onnxruntime", "passed": True, "speedup": twice, "loaded": True, "refusal": "",
    }  # fmt: skip
    assert {name: (one["passed"], one["loaded"]) for name, one in variants(server).items()} == {
        "fp32": (None, False),
        "int4": (False, False),
        "int8": (True, True),
        "slow": (False, False),
    }
    assert "0.50 times as fast as its source here" in variants(server)["slow"]["refusal"]
    assert "m 1.0.0: int8 on onnxruntime" in server.greeting
    assert server.get("/v1/models/m/metadata").json()["model_spec"]["variant"] == "int8"
    assert server.get("/v2/models/m").json()["parameters"]["variant"] == "int8"


def test_one_that_cannot_be_loaded_gives_way_to_the_next_until_it_is_mended(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
    blob = store_folder / "blobs" / "sha256" / record.variants[1].digest
    sound = corrupt(blob)
    server = start("--refresh-seconds", "3600")
    assert variant_of(server) == "fp32"
    assert blob.name in server.status("m", "1.0.0")["notes"]
    assert blob.name in variants(server)["int8"]["refusal"]
    refused = 'octet_variant_refused_total{model="m",reason="load",variant="int8",version="1.0.0"}'
    assert server.sample(refused) == 1
    (line,) = server.log("variant is refused")
    assert (line["level"], line["variant"], line["reason"]) == ("warning", "int8", "load")
    assert server.sample("octet_model_load_failures_total") == 0
    blob.write_bytes(sound)
    server.refresh()
    assert (variant_of(server), server.status("m", "1.0.0")["notes"]) == ("int8", UNCHECKED)


def test_one_whose_golden_rows_are_damaged_or_none_is_refused(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    """Nobody can tell whether it still answers as it did."""
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "damaged", graphs.adding(1), speedup=3.0, rows=ROWS)
    other = tmp_path / "golden.npz"
    other.write_bytes(b"no rows")
    model = graphs.save(graphs.adding(3), tmp_path / "none.onnx")
    report = store.report(record, "damaged")
    new = NewVariant("none", "onnxruntime", model, {}, {}, report, other, accurate=True)
    record = store.add_variant(record, new).record
    set_speed(store, record, "none", 2.0)
    golden = record.variants[1].golden
    assert golden is not None
    corrupt(store_folder / "blobs" / "sha256" / golden.digest)
    server = start()
    assert variant_of(server) == "fp32"
    told = {name: one["refusal"] for name, one in variants(server).items()}
    assert f"blob {golden.digest} is damaged" in told["damaged"]
    assert "its golden rows or its report cannot be read" in told["none"]


def test_a_server_that_is_killed_while_it_takes_up_a_variant_leaves_nothing_behind(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", slow())
    first = start("--refresh-seconds", "0.02")
    endless = slow(10_000_000)  # it is being warmed up for longer than any test waits
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", endless, speedup=2.0)
    view = store_folder / "cache" / "views" / record.variants[1].digest
    eventually(view.exists, "it is being loaded")
    assert first.rows("m", [1]) == [1]
    first.signal(signal.SIGKILL)
    first.exit_code()
    server = start("--variant", "fp32")
    assert server.rows("m", [1]) == [1]
    server.stop()
    assert store.gc().leftovers == 0
    assert store.verify().findings == ()


def test_one_that_answers_otherwise_than_when_it_was_made_is_refused(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "far", graphs.adding(9), speedup=9.0, rows=ROWS)
    close, about_20_db = graphs.adding(1.15), 20.0
    add_variant(store, tmp_path, record, "close", close, speedup=2.0, rows=ROWS, sqnr_db=about_20_db)
    server = start()
    assert (variant_of(server), server.status("m", "1.0.0")["notes"].count(UNCHECKED)) == ("close", 0)
    assert "dB from its source, expected are 40.0" in variants(server)["far"]["refusal"]
    assert server.sample('octet_variant_refused_total{model="m",reason="parity",variant="far",version="1.0.0"}') == 1


def test_one_that_was_judged_unbatched_or_whose_rows_meet_is_served_so(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("judged", "1.0.0", graphs.adding(1))
    judged = graphs.adding(1)
    judged.doc_string = "the same numbers in another file"
    record = store.resolve("judged")
    add_variant(store, tmp_path, record, "int8", judged, speedup=2.0, rows=ROWS, batched=False)
    publish("share", "1.0.0", graphs.adding(0))
    add_variant(
        store, tmp_path, store.resolve("share"), "int8", share_of_largest(), speedup=2.0, rows=ROWS, sqnr_db=-50.0
    )
    server = start()
    for name, why in (("judged", "as it was measured when it was made"), ("share", "when the row shares a batch")):
        status = server.status(name, "1.0.0")
        assert (status["variant"], status["batched"], status["max_batch_rows"]) == ("int8", False, 1)
        assert why in status["notes"]


def test_a_policy_names_a_variant_and_says_when_another_serves(tmp_path: Path, publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
    record = add_variant(store, tmp_path, record, "fp16", graphs.adding(3), speedup=0.5, min_speedup=0)
    add_variant(store, tmp_path, record, "slow", graphs.adding(4), speedup=0.5)
    assert variant_of(start("--variant", "fp16")) == "fp16"
    assert variant_of(start("--variant", "slow")) == "int8", "the gate refuses it here"
    assert variant_of(start("--variant", "fp32")) == "fp32"
    server = start("--variant", "bf16")
    assert variant_of(server) == "int8"
    assert "variant bf16 is refused: the version has no variant 'bf16'" in server.status("m", "1.0.0")["notes"]
    assert server.sample('octet_variant_refused_total{model="m",reason="missing",variant="bf16"') == 1


def test_another_host_measures_for_itself_whatever_was_found_elsewhere(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    """One was too slow there and is fast here, the other was fast there and is slower here than what was published."""
    store = publish("m", "1.0.0", slow())
    numbers = {"x": np.arange(16) % 2}
    record = add_variant(store, tmp_path, store.resolve("m"), "fast", slow(1), rows=numbers, speedup=0.5)
    record = add_variant(store, tmp_path, record, "slower", slow(30), rows=numbers, speedup=9.0)
    there = store_folder / "cache" / "measured" / "speed" / fingerprint()
    there.rename(there.with_name("another-host"))
    server = start("--refresh-seconds", "0.1")

    def answering() -> str:
        return server.predict("m", {"instances": [0]}).headers["octet-variant"]

    assert answering() == "fp32"
    asked = server.predict("m/variants/slower", {"instances": [0]})
    assert (asked.status_code, "measured on this machine first" in asked.json()["error"]) == (503, True)
    for variant in record.variants[1:]:
        kept = there / record.digest / variant.engine / variant.digest
        eventually(kept.exists, f"{variant.name} is measured", 60)
    eventually(lambda: len(server.log("speed of a variant is measured")) == 2, "it is told")
    eventually(lambda: answering() == "fast", "what is fast here serves here")
    eventually(lambda: all(variants(server)[name]["speedup"] for name in ("fast", "slower")), "the status has both")
    told = variants(server)
    assert told["fast"]["speedup"]["batch_1_ratio"] > 1 > told["slower"]["speedup"]["batch_1_ratio"]
    assert (told["fast"]["passed"], told["slower"]["passed"]) == (True, False)
    asked = server.predict("m/variants/slower", {"instances": [0]})
    assert (asked.status_code, "times as fast as its source here" in asked.json()["error"]) == (404, True)


def test_one_that_cannot_be_measured_is_told_until_somebody_asks_again_and_serves_nobody(
    tmp_path: Path, store_folder: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), rows=ROWS)
    corrupt(store_folder / "blobs" / "sha256" / record.variants[1].digest)
    server = start("--refresh-seconds", "3600")
    (line,) = eventually(lambda: server.log("variant is refused"), "it is told")
    assert (line["level"], line["variant"], line["reason"]) == ("warning", "int8", "speed")
    assert "its speed cannot be measured here: " in server.status("m", "1.0.0")["notes"]
    assert (variant_of(server), len(server.log("variant is refused"))) == ("fp32", 1)
    server.refresh()
    eventually(lambda: len(server.log("variant is refused")) == 2, "it is tried again")
    assert variant_of(server) == "fp32"
    server.stop()


def test_a_server_that_ends_leaves_no_measuring_behind(tmp_path: Path, publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", slow())
    add_variant(store, tmp_path, store.resolve("m"), "int8", slow(1), rows={"x": np.arange(16) % 2})
    server = start()
    this = psutil.Process(server.process.pid)
    (child,) = eventually(this.children, "it measures")
    server.stop()
    assert not child.is_running()


def test_a_request_names_its_variant(tmp_path: Path, publish: Publish, start: Start) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
    record = add_variant(store, tmp_path, record, "slow", graphs.adding(3), speedup=0.5, min_speedup=0)
    record = add_variant(store, tmp_path, record, "slower", graphs.adding(5), speedup=0.5)
    add_variant(store, tmp_path, record, "int4", graphs.adding(4), speedup=9.0, accurate=False)
    server = start("--refresh-seconds", "3600")
    assert variant_of(server, "m/variants/int8") == "int8", "it serves anyway"

    first = server.predict("m/variants/slow", {"instances": [[1, 2]]})
    assert (first.status_code, first.headers["retry-after"]) == (503, "1")
    assert "'slow' of model 'm' version 1.0.0 is loaded because it was asked for" in first.json()["error"]
    pinned = "m/versions/1/variants/slow"
    eventually(lambda: server.predict(pinned, {"instances": [[1, 2]]}).status_code == 200, "slow is loaded")
    assert server.rows(pinned, [[1, 2]]) == [[4, 5]]
    assert server.rows("m", [[1, 2]]) == [[3, 4]]
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    for path in ("variants/slow", "versions/1.0.0/variants/slow"):
        inferred = server.client.post(f"/v2/models/m/{path}/infer", json={"inputs": [tensor]})
        assert (inferred.status_code, inferred.headers["octet-variant"]) == (200, "slow"), inferred.text
        assert inferred.json()["outputs"][0]["data"] == [4, 5]
    assert variants(server)["slow"]["loaded"]

    for name, why in (
        ("int4", "is refused: its gate refused its answers"),
        ("slower", "is refused: it is 0.50 times as fast as its source here"),
        ("bf16", "has no variant 'bf16'"),
    ):
        answer = server.predict(f"m/variants/{name}", {"instances": [[1, 2]]})
        assert answer.status_code == 404
        assert why in answer.json()["error"]
        assert answer.json()["error"].endswith("those that can be asked for: fp32, int8, slow")


def test_other_bytes_under_the_name_of_a_dropped_variant_take_its_place(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    """Also where the server looks only once both have happened."""
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "int8", graphs.adding(2), speedup=2.0)
    add_variant(store, tmp_path, record, "slow", graphs.adding(3), speedup=0.5, min_speedup=0)
    server = start("--refresh-seconds", "3600")
    slow = "m/variants/slow"
    eventually(lambda: server.predict(slow, {"instances": [[0, 0]]}).status_code == 200, "slow is loaded")
    assert (server.rows("m", [[0, 0]]), server.rows(slow, [[0, 0]])) == ([[2, 2]], [[3, 3]])
    for name, bias, speedup in (("int8", 4, 2.0), ("slow", 5, 0.5)):
        record = store.drop_variant(record, name)
        add_variant(store, tmp_path, record, name, graphs.adding(bias), speedup=speedup, min_speedup=0)
    server.refresh()
    assert server.rows("m", [[0, 0]]) == [[4, 4]]
    eventually(lambda: server.predict(slow, {"instances": [[0, 0]]}).status_code == 200, "the other slow is loaded")
    assert server.rows(slow, [[0, 0]]) == [[5, 5]]


def test_only_so_many_variants_are_loaded_because_requests_name_them(
    tmp_path: Path, publish: Publish, start: Start
) -> None:
    store = publish("m", "1.0.0", graphs.adding(1))
    record = add_variant(store, tmp_path, store.resolve("m"), "a", graphs.adding(2), speedup=0.5, min_speedup=0)
    add_variant(store, tmp_path, record, "b", graphs.adding(3), speedup=0.5, min_speedup=0)
    server = start("--refresh-seconds", "3600", "--pinned-variants", "1")
    for name in ("a", "b"):
        path = f"m/variants/{name}"
        eventually(
            lambda path=path: server.predict(path, {"instances": [[0, 0]]}).status_code == 200, f"{name} is there"
        )
    assert {name: one["loaded"] for name, one in variants(server).items()} == {"fp32": True, "a": False, "b": True}
    assert server.client.post("/v2/repository/models/m/unload").status_code == 200
    server.until("octet_model_info", lambda count: count == 0)

    without = start("--pinned-variants", "0")
    answer = without.predict("m/variants/a", {"instances": [[0, 0]]})
    assert (answer.status_code, "pinned_variants is 0" in answer.json()["error"]) == (501, True)
    assert variant_of(without, "m/variants/fp32") == "fp32"
