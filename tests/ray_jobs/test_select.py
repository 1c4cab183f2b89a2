"""`medsift select` adds to a finished run, completely or not at all, and repeats no work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curation.add_selection import add_selection, parse_selection
from curation.mapped import MAPPED
from medsift.manifest import read
from medsift.storage.heartbeat import FOLDER as HEARTBEATS
from tests.fakes import Killed


@pytest.fixture
def run_dir(planted_run: Path, tmp_path: Path) -> Path:
    """A copy of the planted run: what is added here is newest nowhere else."""
    return Path(shutil.copytree(planted_run, tmp_path / "run"))


def ask(run_dir, sql):
    return read(run_dir / "manifest.duckdb", sql).to_pylist()


def whole(run_dir):
    """Every file of a run with its bytes, but what is derived, and the sign of who worked there."""
    files = (path for path in run_dir.rglob("*") if path.is_file())
    kept = (path for path in files if not {"graphs", MAPPED, HEARTBEATS} & set(path.parts))
    return {path: path.read_bytes() for path in kept}


def test_a_selection_is_added_and_becomes_the_newest(run_dir, medsift):
    said = medsift("select", run_dir, "--name", "small", "--budget", "20%")
    assert said.code == 0, said.err
    [settings] = ask(run_dir, "SELECT * FROM selection_settings WHERE selection = 'small'")
    assert settings["method"] == "facility_location"
    newest = ask(
        run_dir, "SELECT DISTINCT selection, count(*) AS n FROM selected_samples GROUP BY 1"
    )
    assert newest == [{"selection": "small", "n": settings["selected"]}]
    shown = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert shown["method"] == "facility_location"
    assert shown["samples"].startswith(f"{settings['selected']} of {settings['pool']} ")
    assert shown["coverage"] == f"{settings['coverage']:.4f}"
    assert shown["tokens"].startswith(f"{settings['tokens']:,} of ")
    covered = "SELECT count(DISTINCT stratum) AS n FROM selections WHERE selection = 'small'"
    assert shown["strata"].startswith(f"{ask(run_dir, covered)[0]['n']} of ")
    assert ask(run_dir, "SELECT count(*) AS n FROM curves WHERE selection = 'small'")[0]["n"] > 1


def test_it_says_the_same_as_a_recipe_with_that_selection(
    run_dir, medsift, phantom_recipe, tmp_path
):
    selection = {"name": "small", "method": {"kind": "k_center"}, "budget": "15%"}
    recipe = phantom_recipe(selections=[selection])
    assert medsift("curate", recipe, "--local", "--run-dir", tmp_path / "other").code == 0
    said = medsift("select", run_dir, "--name", "small", "--method", "k_center", "--budget", "15%")
    assert said.code == 0, said.err
    sql = (
        "SELECT rank, sample_id, row_id, weight, gain, stratum FROM selections "
        "WHERE selection = 'small' ORDER BY 1"
    )
    assert ask(run_dir, sql) == ask(tmp_path / "other", sql)


def test_settings_seed_and_quotas_are_taken_from_the_command_line(run_dir, medsift):
    options = ("--seed", "7", "--set", "quality_weight=0", "--set", "quotas.kind=none")
    said = medsift("select", run_dir, "--name", "small", "--budget", "coverage:0.7", *options)
    assert said.code == 0, said.err
    [line] = ask(
        run_dir,
        "SELECT seed, budget, coverage, settings ->> '$.method.quality_weight' AS weight, "
        "settings ->> '$.quotas.kind' AS quotas FROM selection_settings "
        "WHERE selection = 'small'",
    )
    assert line["coverage"] >= 0.7
    assert (line["seed"], line["budget"], line["quotas"]) == (7, "coverage:0.7", "none")
    assert float(line["weight"]) == 0.0


def test_a_name_that_exists_needs_replace(run_dir, medsift):
    go = ("select", run_dir, "--name", "small", "--method", "random", "--budget")
    assert medsift(*go, "10").code == 0
    before = whole(run_dir)
    said = medsift(*go, "12")
    assert said.code == 2
    assert "'small' already" in said.error
    assert whole(run_dir) == before
    assert medsift(*go, "12", "--replace").code == 0
    counts = ask(run_dir, "SELECT count(*) AS n FROM selections WHERE selection = 'small'")
    assert counts == [{"n": 12}]
    settings = "SELECT count(*) AS n FROM selection_settings WHERE selection = 'small'"
    assert ask(run_dir, settings) == [{"n": 1}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "999999"), "999999 samples, the pool has"),
        (("--budget", "plenty"), "'plenty'"),
        (("--budget", "auto:0.9"), "coverage: 0.9"),
        (("--budget", "auto:0.001"), "coverage:0.9"),
        (("--budget", "20%", "--method", "randm"), "'random'"),
        (("--budget", "20%", "--quality", "qualty"), "scorer 'qualty'"),
        (("--budget", "20%", "--set", "no_such=1"), "no_such: unknown key"),
        (
            ("--budget", "20%", "--method", "target", "--set", "where=nothing = 1"),
            "no SQL condition",
        ),
        (
            ("--budget", "20%", "--set", "quotas={kind: weights, weights: {nowhere: 1}}"),
            "'nowhere'",
        ),
        (("--budget", "20%", "--name", "kept"), "'kept' is the selection of everything"),
    ],
)
def test_what_cannot_be_selected_is_one_line_and_changes_nothing(run_dir, medsift, options, words):
    before = whole(run_dir)
    said = medsift("select", run_dir, "--name", "small", *options)
    assert said.code == 2
    assert words in said.error
    assert said.out == ""
    assert whole(run_dir) == before


def test_a_run_whose_folders_are_gone_is_refused(run_dir, medsift):
    shutil.rmtree(run_dir / "stages")
    said = medsift("select", run_dir, "--name", "small", "--budget", "5")
    assert said.code == 3
    assert "curate again" in said.error


@pytest.mark.parametrize("place", ["insert", "_finish"])
def test_killed_while_writing_the_manifest_is_as_it_was(run_dir, monkeypatch, place):
    def die(*arguments):
        raise Killed

    before = whole(run_dir)
    monkeypatch.setattr(f"medsift.manifest.write.{place}", die)
    config = parse_selection({"name": "small", "budget": 5})
    with pytest.raises(Killed):
        add_selection(run_dir, config)
    assert whole(run_dir) == before
    monkeypatch.undo()
    add_selection(run_dir, config)
    assert ask(run_dir, "SELECT count(*) AS n FROM selections WHERE selection = 'small'") == [
        {"n": 5}
    ]


def test_a_selector_that_is_trained_once_selects_as_one_that_is_trained_on_the_pool(
    run_dir, tmp_path, medsift
):
    file = tmp_path / "selector.npz"
    said = medsift("selector", run_dir, "--output", file)
    assert said.code == 0, said.err
    assert said.out.strip().endswith("selector.npz")
    for name, more in (("own", ()), ("by_file", ("--set", f"selector={file}"))):
        said = medsift(
            "select", run_dir, "--name", name, "--budget", "20", "--method", "ofa", *more
        )
        assert said.code == 0, said.err
    rows = "SELECT rank, sample_id, gain FROM selections WHERE selection = '{}' ORDER BY rank"
    assert ask(run_dir, rows.format("own")) == ask(run_dir, rows.format("by_file"))
