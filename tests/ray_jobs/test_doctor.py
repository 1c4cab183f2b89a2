"""The doctor's findings are true, name a fix when something is wrong, and show no secret."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import pytest

from ray_jobs import doctor
from ray_jobs.cli import run
from ray_jobs.doctor import GIB

Usage = namedtuple("Usage", "total used free")


def test_this_machine_has_what_medsift_declares():
    assert [finding.status for finding in doctor.packages()] == ["OK"]


@pytest.mark.parametrize(
    ("requirement", "subject", "status"),
    [
        ("duckdb>=99", "duckdb", "FAIL"),
        ("duckdb>=99; extra == 'train'", "duckdb", "FAIL"),
        ("no-such-thing-here>=1", "packages", "FAIL"),
        ("no-such-thing-here>=1; extra == 'embedded'", "extra embedded", "WARN"),
        ("no-such-thing-here>=1; extra == 'cluster'", "extra cluster", "WARN"),
    ],
)
def test_a_package_is_compared_with_its_bound(monkeypatch, requirement, subject, status):
    monkeypatch.setattr(doctor, "requires", lambda name: ["duckdb>=2.0", requirement])
    *faults, last = doctor.packages()
    assert (last.status, last.detail) == ("OK", "1 fit the declared bounds")
    [fault] = faults
    assert (fault.subject, fault.status) == (subject, status)
    assert fault.fix.startswith("pip install")


@pytest.mark.parametrize(
    "requirement", ["x>=1; platform_system == 'Nowhere'", "x>=1; extra == 'dev'"]
)
def test_requirements_of_other_systems_and_extras_do_not_count(monkeypatch, requirement):
    monkeypatch.setattr(doctor, "requires", lambda name: [requirement])
    assert [finding.status for finding in doctor.packages()] == ["OK"]


@pytest.mark.parametrize(("free", "status"), [(50, "OK"), (5, "WARN"), (0.5, "FAIL")])
def test_a_full_disk_is_noticed(monkeypatch, tmp_path, free, status):
    usage = Usage(100 * GIB, 0, int(free * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    finding = doctor.disk(tmp_path)
    assert finding.status == status
    assert bool(finding.fix) == (status != "OK")


def test_memory_is_that_of_the_machine_or_less():
    free, total = doctor.memory_bytes()
    assert 0 < free <= total


def test_the_token_is_named_by_its_place_only(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "s3cret-not-for-eyes")
    finding = doctor.token()
    assert finding.detail == "found in $RAY_AUTH_TOKEN"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    assert doctor.token().status == "FAIL"


def test_a_cluster_that_is_not_there_fails_with_a_mend(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    [finding] = doctor.ray(tmp_path)
    assert finding.status == "FAIL"
    assert "127.0.0.1:1" in finding.detail
    assert "RAY_ADDRESS" in finding.fix


@pytest.mark.slow
def test_the_command_prints_every_finding_and_starts_a_ray(monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    status = run(["doctor", "--json"])
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_subject = {finding["subject"]: finding for finding in findings}
    assert {"python", "torch", "faiss", "embedded weights", "disk", "memory"} <= set(by_subject)
    assert by_subject["embedded weights"]["status"] == "OK"
    assert "1 CPUs" in by_subject["ray"]["detail"]
    assert by_subject["shared folder"]["status"] == "OK"
    assert status == int(any(finding["status"] == "FAIL" for finding in findings))
