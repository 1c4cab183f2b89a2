"""A job knows its id and its variables as Ray tells them, and anything else is no error."""

from __future__ import annotations

import json

import pytest

from ray_jobs.job_config import JOB_CONFIG, job_variables, submission_id


@pytest.fixture(autouse=True)
def _outside(monkeypatch):
    monkeypatch.delenv(JOB_CONFIG, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def test_ray_tells_the_id_and_the_variables(monkeypatch):
    config = {"metadata": {"job_submission_id": "a-1"}, "runtime_env": {"env_vars": {"A": "b"}}}
    monkeypatch.setenv(JOB_CONFIG, json.dumps(config))
    assert (submission_id(), job_variables()) == ("a-1", {"A": "b"})


@pytest.mark.parametrize("config", [None, "", "no json", "[]", "{}", '{"metadata": 1}'])
def test_without_a_job_there_is_no_id_and_no_variable(monkeypatch, config):
    if config is not None:
        monkeypatch.setenv(JOB_CONFIG, config)
    assert (submission_id(), job_variables()) == ("", {})


def test_a_job_of_slurm_is_named_where_ray_names_none(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert submission_id() == "slurm 12"
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"metadata": {"job_submission_id": "a-1"}}))
    assert submission_id() == "a-1"
