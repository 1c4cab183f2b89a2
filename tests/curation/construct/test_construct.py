"""A construction asks a real server, and stores what came of every sample."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest
import yaml
from pydantic import TypeAdapter

import medsift as ms
from curation.construct.construct import construct
from curation.construct.projection import expected_draws
from curation.ingest import IngestConfig, ingest
from curation.sources import SourceConfig
from medsift.images.blob_store import BlobStore
from medsift.manifest import read
from medsift.records import sample_id
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import (
    THOUGHTS,
    by_chance,
    completion,
    pictures_in,
    text_of,
)
from tests.expect import raises_code


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [case(number) for number in range(12)])


def table(run, name, order="ALL"):
    return read(run / "manifest.duckdb", f"SELECT * FROM {name} ORDER BY {order}").to_pylist()


def test_every_sample_has_one_fate_and_every_reply_one_line(run, serve):
    server = serve()
    result = construct(recipe_for(run, server))
    traces, attempts = table(run, "traces"), table(run, "attempts")
    assert len(traces) == 12
    assert result.facts["samples"] == 12
    counted = Counter(trace["action"] for trace in traces)
    assert {name: result.facts[name] for name in counted} == counted
    assert counted["kept"] > 0
    assert len(attempts) == len(server.requests) == result.facts["calls"]
    assert len(set(server.seeds)) == len(server.seeds)
    assert {attempt["form"] for attempt in attempts} == {"field", "tag", "inline"}
    assert all(attempt["latency_s"] >= 0 for attempt in attempts)
    assert {attempt["finish_reason"] for attempt in attempts} == {"stop"}


def test_attempts_end_once_enough_are_accepted(run, serve):
    construct(recipe_for(run, serve(), accepted=1, blind={"attempts": 0}))
    by_sample: dict[str, list[bool]] = {}
    for line in table(run, "attempts", "sample_id, attempt"):
        by_sample.setdefault(line["sample_id"], []).append(line["accepted"])
    for accepted in by_sample.values():
        assert sum(accepted) == (1 if accepted[-1] else 0)
        assert len(accepted) == 4 or accepted[-1]


def test_only_right_verified_answers_are_kept(run, serve):
    construct(recipe_for(run, serve()))
    right = {
        (line["sample_id"], line["reasoning"])
        for line in table(run, "attempts")
        if line["verdict"] == "right" and line["accepted"] and line["kind"] != "blind"
    }
    for trace in table(run, "traces"):
        if trace["action"] == "kept" and trace["kind"] != "corrected":
            assert (trace["derived_from"], trace["reasoning"]) in right


def test_new_samples_have_the_reasoning_and_name_their_origin(run, serve):
    result = construct(recipe_for(run, serve()))
    lines = [json.loads(line) for line in result.samples.read_text().splitlines()]
    kept = {trace["derived_from"]: trace for trace in table(run, "traces") if trace["sample_id"]}
    assert {line["derived_from"] for line in lines} == set(kept)
    images = {row["ref"]: row["image_id"] for row in table(run, "images")}
    for line in lines:
        trace = kept[line["derived_from"]]
        assert line["reasoning"] == trace["reasoning"]
        assert line["messages"][-1]["content"] == f"<think>\n{line['reasoning']}\n</think>\n\nyes"
        ids = [images[ref] for ref in line["images"]]
        assert sample_id(ids, line["messages"]) == trace["sample_id"]


def test_the_controls_have_the_same_samples_without_and_with_foreign_reasoning(run, serve):
    path = construct(recipe_for(run, serve())).samples
    own, alone, foreign = (
        {
            line["derived_from"]: line
            for line in map(json.loads, path.with_name(name).read_text().splitlines())
        }
        for name in ("samples.jsonl", "answers.jsonl", "shuffled.jsonl")
    )
    assert own.keys() == alone.keys() == foreign.keys()
    for name, line in own.items():
        assert line["messages"][:-1] == alone[name]["messages"][:-1]
        assert alone[name]["messages"][-1]["content"] == "yes"
        assert foreign[name]["messages"][-1]["content"].endswith("yes")
        assert foreign[name]["reasoning"] != line["reasoning"]
    texts = [sorted(line["reasoning"] for line in lines.values()) for lines in (own, foreign)]
    assert texts[0] == texts[1]


def test_new_samples_are_read_by_the_recipe_next_to_them(run, serve, tmp_path):
    result = construct(recipe_for(run, serve()))
    recipe = yaml.safe_load(result.samples.with_name("curate.yaml").read_text())
    [source] = recipe["sources"]
    reader = TypeAdapter(SourceConfig).validate_python(source)
    blobs = BlobStore(tmp_path / "blobs")
    rows = pa.concat_tables(one for shard in reader.shards() for one in reader.read(shard, blobs))
    samples = ingest(rows, IngestConfig()).samples.to_pylist()
    kept = {trace["derived_from"]: trace for trace in table(run, "traces") if trace["sample_id"]}
    assert len(samples) == len(kept)
    images = {row["ref"]: row["image_id"] for row in table(run, "images")}
    for sample in samples:
        facts = json.loads(sample["extra"])
        trace = kept[facts["derived_from"]]
        assert (facts["reasoning"], facts["trace_kind"]) == (trace["reasoning"], trace["kind"])
        ids = [images[ref] for ref in sample["refs"]]
        assert sample_id(ids, sample["messages"]) == trace["sample_id"]
        assert (sample["modality"], sample["notes"]) == ("ct", [])


def test_text_solvable_samples_are_marked_and_kept_to_their_share(run, serve):
    recipe = recipe_for(run, serve(), blind={"attempts": 2, "share": 0.1}, accepted=1, attempts=8)
    construct(recipe)
    traces = {trace["derived_from"]: trace for trace in table(run, "traces")}
    samples = {row["sample_id"]: row["question"] for row in table(run, "samples")}
    solvable = [traces[name] for name in samples if traces[name]["text_solvable"]]
    numbers = {int(samples[t["derived_from"]].split()[3]) for t in solvable}
    assert numbers <= {0, 5, 10}
    kept = [trace for trace in traces.values() if trace["action"] == "kept"]
    assert sum(bool(trace["text_solvable"]) for trace in kept) <= 0.1 * len(kept)
    assert {t["reason"] for t in solvable if t["action"] == "dropped"} <= {"text_solvable"}
    assert solvable


def test_a_wrong_first_attempt_is_joined_to_a_right_one(run, serve):
    construct(recipe_for(run, serve(), corrected_share=1.0))
    joined = [trace for trace in table(run, "traces") if trace["kind"] == "corrected"]
    assert joined
    first = {
        line["sample_id"]: line
        for line in table(run, "attempts")
        if line["attempt"] == 0 and line["kind"] != "blind"
    }
    for trace in joined:
        wrong = first[trace["derived_from"]]
        assert wrong["verdict"] == "wrong"
        assert trace["reasoning"].startswith(wrong["reasoning"])
        assert len(trace["reasoning"]) > 2 * len(wrong["reasoning"])


def test_a_sample_that_tells_little_is_asked_to_reflect(tmp_path, serve):
    long = "a long answer that tells a lot about the whole picture"
    run = write_run(tmp_path / "run", [case(0), case(1, long)])
    server = serve()
    construct(recipe_for(run, server, blind={"attempts": 0}))
    kinds = {(line["sample_id"], line["kind"]) for line in table(run, "attempts")}
    answers = {row["sample_id"]: row["answer"] for row in table(run, "samples")}
    assert {(answers[name], kind) for name, kind in kinds} == {
        ("yes", "reflective"),
        (long, "plain"),
    }
    prompts = [text_of(body) for body in server.requests]
    assert any("four steps" in words and "case 0" in words for words in prompts)
    assert not any("four steps" in words and "case 1 " in words for words in prompts)


def test_the_label_is_shown_only_where_that_is_asked_for_and_marked(run, serve):
    def wrong_unless_told(body):
        shown = "The right answer is" in text_of(body)
        return completion("Yes" if shown else "No", f"{THOUGHTS} {body['seed']}")

    server = serve(wrong_unless_told)
    construct(recipe_for(run, server, blind={"attempts": 0}))
    assert not any("The right answer is" in text_of(body) for body in server.requests)
    kinds = ("plain", "label_told")
    construct(recipe_for(run, server, blind={"attempts": 0}, kinds=kinds, name="label"))
    traces = [line for line in table(run, "traces") if line["construct_id"].startswith("label-")]
    assert {(trace["action"], trace["kind"]) for trace in traces} == {("kept", "label_told")}


def test_the_same_recipe_again_asks_nothing_and_gives_the_same(run, serve):
    server = serve()
    recipe = recipe_for(run, server)
    construct(recipe)
    before = [table(run, name) for name in ("traces", "attempts")]
    count = len(server.requests)
    construct(recipe)
    assert len(server.requests) == count
    assert [table(run, name) for name in ("traces", "attempts")] == before


def test_a_dry_run_projects_and_asks_nothing(run, serve):
    server = serve()
    price = {"prompt_per_million": 1.0, "reply_per_million": 2.0}
    recipe = recipe_for(run, server, teacher={"price": price})
    seen = []
    result = construct(recipe, dry_run=True, announce=seen.append)
    assert server.requests == []
    assert seen == [result.projection]
    assert result.projection.samples == 12
    assert result.projection.fewest <= result.projection.expected <= result.projection.most
    assert result.projection.expected_cost < result.projection.most_cost
    done = construct(recipe, announce=seen.append)
    assert result.projection.fewest <= done.facts["calls"] <= result.projection.most
    assert done.facts["cost"] == pytest.approx(len(server.requests) * (100 + 2 * 60) / 1e6)
    again = construct(recipe, dry_run=True)
    assert again.projection.stored == sum(
        line["kind"] != "blind" for line in table(run, "attempts")
    )


def test_it_runs_from_python_with_settings_that_are_changed(run, serve):
    server = serve()
    settings = recipe_for(run, server).resolved()
    result = ms.construct(settings, set=["accepted=3", "blind.attempts=0"], dry_run=True)
    assert (result.projection.fewest, result.projection.most) == (36, 48)
    done = ms.construct(settings, set=["accepted=1", "blind.attempts=0"])
    assert done.facts["calls"] == len(server.requests) > 0
    assert ms.open_run(run).sql("FROM traces").num_rows == 12


def test_expected_draws_are_those_of_a_simulation():
    import numpy as np

    hits = np.random.default_rng(0).random((20_000, 8)) < 0.4
    enough = np.cumsum(hits, axis=1) >= 2
    drawn = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, 8)
    assert expected_draws(0.4, 2, 8) == pytest.approx(drawn.mean(), abs=0.05)
    assert expected_draws(1.0, 2, 8) == 2


def test_a_judge_decides_only_where_it_agrees_with_itself_in_both_orders(tmp_path, serve):
    answers = {0: "a shadow of the heart", 1: "a bright ring"}
    run = write_run(tmp_path / "run", [case(n, answer) for n, answer in answers.items()])
    teacher = serve(lambda body: completion("something grey", f"{THOUGHTS} {body['seed']}"))

    def judging(body):
        first_is_gold = "First answer: a " in text_of(body)
        same = "ring" in text_of(body) or first_is_gold
        return completion("yes" if same else "no")

    judge = {"url": serve(judging).url, "model": "judge-7b"}
    construct(recipe_for(run, teacher, judge=judge, blind={"attempts": 0}))
    traces = {line["row_id"]: line for line in table(run, "traces")}
    assert (traces["s:f.jsonl:0"]["action"], traces["s:f.jsonl:0"]["reason"]) == (
        "dropped",
        "undecided",
    )
    assert (traces["s:f.jsonl:1"]["action"], traces["s:f.jsonl:1"]["verdict_by"]) == (
        "kept",
        "judge",
    )


def test_a_selection_without_questions_is_refused(tmp_path, serve):
    line = {"turns": [("user", "Say something about case 1.")], "pictures": 1}
    run = write_run(tmp_path / "run", [line])
    with raises_code("construct_nothing_to_ask", selection="chosen"):
        construct(recipe_for(run, serve(by_chance)))


def test_the_pictures_are_shown_under_the_cap_and_not_to_the_blind(run, serve):
    import base64
    import io

    from PIL import Image

    server = serve()
    construct(recipe_for(run, server, teacher={"max_pixels": 150}))
    shown = [body for body in server.requests if pictures_in(body)]
    assert 0 < len(shown) < len(server.requests)
    for body in server.requests:
        assert ("No picture is shown" in text_of(body)) == (pictures_in(body) == 0)
        assert [message["role"] for message in body["messages"]] == ["user"]
    parts = [part for part in shown[0]["messages"][0]["content"] if part["type"] == "image_url"]
    data = base64.b64decode(parts[0]["image_url"]["url"].partition(",")[2])
    width, height = Image.open(io.BytesIO(data)).size
    assert width * height <= 150
