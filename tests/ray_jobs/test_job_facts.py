"""What is shown of a job: no secret of its environment, and how far it is where that is seen."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from ray.job_submission import JobDetails

from medsift.storage.heartbeat import Heartbeat, write_heartbeat
from ray_jobs.jobs.show import NO_JOBS, facts_text, job_facts, job_table, status_of
from ray_jobs.jobs.spec import RECIPE, RUN_DIR, VERB


def details(run_dir: object = "/nowhere", **changed: object) -> JobDetails:
    settings = {
        "type": "SUBMISSION",
        "submission_id": "medsift-curate-a-1",
        "status": "RUNNING",
        "entrypoint": "python -m ray_jobs curate",
        "start_time": 1_767_225_600_000,
        "metadata": {VERB: "curate", RECIPE: "a", RUN_DIR: str(run_dir)},
        "runtime_env": {"env_vars": {"SECRET": "not-for-eyes"}},
    }
    return JobDetails(**settings | changed)


def server(job: JobDetails) -> SimpleNamespace:
    return SimpleNamespace(address="http://head:8265", details=lambda _: job)


def test_a_job_is_shown_without_its_environment():
    facts = job_facts(details(end_time=1_767_225_603_500))
    assert (facts["job"], facts["command"], facts["recipe"]) == (
        "medsift-curate-a-1",
        "curate",
        "a",
    )
    assert (facts["started"], facts["seconds"]) == ("2026-01-01T00:00:00+00:00", 3.5)
    assert "not-for-eyes" not in repr(facts) + facts_text(facts) + job_table([facts])


def test_the_exit_status_says_how_a_job_is_doing():
    for status, driver, code in (
        ("PENDING", None, 0),
        ("RUNNING", None, 0),
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("STOPPED", None, 130),
    ):
        job = details(status=status, driver_exit_code=driver)
        assert status_of(server(job), "medsift-curate-a-1")[1] == code


def test_the_stage_is_shown_where_the_run_directory_is_seen_and_belongs_to_the_job(tmp_path):
    now = datetime.now(UTC)
    shared = {"command": "curate", "state": "running", "stage": "embed", "started": now}
    beat = Heartbeat.model_validate(shared | {"time": now, "host": "h", "pid": 1, "job": "other"})
    write_heartbeat(tmp_path, beat)
    assert "stage" not in status_of(server(details(tmp_path)), "")[0]
    write_heartbeat(tmp_path, beat.model_copy(update={"job": "medsift-curate-a-1"}))
    assert status_of(server(details(tmp_path)), "")[0]["stage"] == "embed"


def test_jobs_of_other_programs_are_listed_too_and_none_is_said():
    other = details(metadata=None, submission_id=None, job_id="02000000", start_time=None)
    header, line = job_table([job_facts(other)]).splitlines()
    assert line.split() == ["02000000", "RUNNING"]
    assert header.split()[:2] == ["job", "status"]
    assert job_table([]) == NO_JOBS


def test_control_characters_of_a_job_do_not_reach_the_terminal():
    facts = job_facts(details(metadata={VERB: "curate", RECIPE: "\x1b[31mred"}))
    assert "\x1b" not in job_table([facts]) + facts_text(facts)
