"""Rollouts of a small model: replies, counts and selection in the manifest, also after a kill."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase as LETTERS

import pytest

from evaluation.rollouts import shuffled
from medsift.execution import LocalExecutor
from medsift.manifest import query
from ray_jobs.rollouts.draw import Rollouts, draw_rollouts
from ray_jobs.rollouts.recipe import RolloutsRecipe, load_rollouts
from tests.expect import raises_code
from tests.fakes import Killed, KilledExecutor
from tests.training.conftest import asked, write_llama, write_run
from tests.training.policy.conftest import saying_little


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RolloutsRecipe:
    """Four questions, and a model that says little but yes and no."""
    folder = tmp_path_factory.mktemp("rollouts")
    model = saying_little(write_llama(folder / "llama"), folder / "model")
    answers = ("yes", "no", "yes")
    lines = [asked(f"is {k} clear?", one, answer_type="closed") for k, one in enumerate(answers)]
    options = asked("which side? A. left B. right C. both sides", "A", answer_type="choice")
    run = write_run(folder / "run", [*lines, options])
    settings = {
        "name": "rl",
        "run": str(run),
        "model": {
            "kind": "causal",
            "model": {"kind": "transformers", "model": str(model)},
            "generation": {"temperature": 1.0, "max_new_tokens": 3},
            "batch_size": 8,
        },
        "draws": 8,
        "questions_per_batch": 1,
        "keep": {"group": 4, "min_usefulness": 0.1},
    }
    return RolloutsRecipe.model_validate(settings)


def stored(done: Rollouts) -> list[dict[str, object]]:
    sql = "SELECT * FROM rollouts ORDER BY sample_id, draw"
    return query(done.manifest, sql).to_pylist()


def test_a_killed_command_continues_and_every_reply_is_counted_once(made: RolloutsRecipe):
    with pytest.raises(Killed):
        draw_rollouts(made, KilledExecutor(2, "replies"))
    done = draw_rollouts(made, LocalExecutor())
    replies = stored(done)
    assert len(replies) == 4 * made.draws
    assert len({(one["sample_id"], one["draw"]) for one in replies}) == len(replies)
    # Draws of one question differ, and options come in several orders.
    assert len({one["reply"] for one in replies if one["sample_id"] == "id0"}) > 1
    orders = {tuple(one["options"]) for one in replies if one["sample_id"] == "id3"}
    assert len(orders) > 1
    for one in replies:
        if one["sample_id"] == "id3":
            assert one["options"][LETTERS.index(one["gold"])] == "left"
    questions = done.questions.to_pylist()
    for question in questions:
        own = [one for one in replies if one["sample_id"] == question["sample_id"]]
        assert question["drawn"] == len(own)
        assert question["correct"] == sum(bool(one["correct"]) for one in own)
        assert question["cut"] == sum(bool(one["cut"]) for one in own)
        assert question["unparsed"] == sum(one["parse_status"] == "unparsed" for one in own)
    kept = {one["sample_id"] for one in questions if one["verdict"] == "kept"}
    assert kept
    sql = "SELECT sample_id FROM selected_samples WHERE selection = 'rl'"
    assert set(query(done.manifest, sql)["sample_id"].to_pylist()) == kept
    again = draw_rollouts(made, LocalExecutor())
    assert stored(again) == replies


def test_replies_that_would_all_be_the_same_are_refused(made: RolloutsRecipe, tmp_path: Path):

    file = tmp_path / "r.yaml"
    model = "{kind: causal, model: {kind: embedded}}"
    file.write_text(f"name: rl\nrun: {made.run}\nmodel: {model}\n")
    with raises_code("recipe_invalid"):
        load_rollouts(file)


def test_options_that_name_others_stay_where_they_are():
    item = {"item_id": "1", "options": ["left", "right", "both A and B"], "gold": "C"}
    assert all(shuffled(item, 0, draw) == item for draw in range(8))
