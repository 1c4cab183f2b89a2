"""KubeRay's own schemas accept the manifests, and every pod has what its work needs."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from medsift.storage.locations import without_secrets
from ray_jobs.cli import program
from tests.conftest import DATA, REPOSITORY

FOLDER = REPOSITORY / "ray_jobs" / "kuberay"
FILES = ("raycluster", "rayjob", "raycronjob")


def manifest(name: str) -> dict[str, Any]:
    [loaded] = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def job(name: str) -> dict[str, Any]:
    spec = manifest(name)["spec"]
    return spec["jobTemplate"] if name == "raycronjob" else spec


def cluster(name: str) -> dict[str, Any]:
    return manifest(name)["spec"] if name == "raycluster" else job(name)["rayClusterSpec"]


def pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group["template"]["spec"]


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema that refuses unknown keys, as `kubectl` does."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        made.setdefault("additionalProperties", False)
    return made


@lru_cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    path = DATA / "kuberay" / f"ray.io_{name}s.yaml"
    if not path.is_file():
        pytest.skip(f"KubeRay's definitions are not at {path.parent}")
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    [version] = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    # The API server itself knows what is in here.
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", FILES)
def test_kuberay_accepts_the_manifest(name):
    made = manifest(name)
    assert made["apiVersion"] == "ray.io/v1"
    assert made["kind"].lower() == name
    assert [error.message for error in validator(name).iter_errors(made)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "autoscalerOptions", "version"), "v3"),
        (("spec", "authOptions", "mode"), "password"),
        (("spec", "workerGroupSpecs", 0, "maxReplica"), 3),
        (("spec", "headGroupSpec", "template", "spec", "container"), []),
        (("spec", "workerGroupSpecs", 1, "minReplicas"), "one"),
    ],
)
def test_a_planted_mistake_is_refused(path, value):
    wrong = copy.deepcopy(manifest("raycluster"))
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator("raycluster").is_valid(wrong)


def test_the_three_describe_the_same_cluster_but_for_idle_gpus():
    specs = [copy.deepcopy(cluster(name)) for name in FILES]
    for spec in specs:
        cpu, gpu = spec["workerGroupSpecs"]
        assert (cpu["groupName"], gpu["groupName"]) == ("cpu", "gpu")
        assert gpu["minReplicas"] == gpu["replicas"] <= gpu["maxReplicas"]
        del gpu["minReplicas"], gpu["replicas"]
    assert specs[0] == specs[1] == specs[2]
    # Idle GPUs cost: a cluster that stays starts without them.
    assert cluster("raycluster")["workerGroupSpecs"][1]["minReplicas"] == 0
    # A curation uses those that are there when it starts.
    assert cluster("rayjob")["workerGroupSpecs"][1]["minReplicas"] == 1


@pytest.mark.parametrize("name", FILES)
def test_the_cluster_wants_a_token_and_the_head_runs_no_work(name):
    spec = cluster(name)
    assert spec["authOptions"] == {"mode": "token", "secretName": "medsift-ray-token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["enableInTreeAutoscaling"] is True


@pytest.mark.parametrize("name", FILES)
def test_every_pod_reads_secrets_by_name_and_shares_disk_and_memory(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert without_secrets(text) == text
    groups = [cluster(name)["headGroupSpec"], *cluster(name)["workerGroupSpecs"]]
    for group, pod in zip(groups, pods(cluster(name)), strict=True):
        assert pod["restartPolicy"] == "Never"
        [container] = pod["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "medsift-object-store"}}]
        assert not [one for one in container["env"] if "KEY" in one["name"]]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"data": "/data", "recipes": "/etc/medsift", "shm": "/dev/shm"}
        assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        [shm] = [one["emptyDir"] for one in pod["volumes"] if one["name"] == "shm"]
        gibibytes = int(shm["sizeLimit"].removesuffix("Gi"))
        assert shm["medium"] == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < gibibytes * 2**30
        assert gibibytes * 2 <= int(resources["limits"]["memory"].removesuffix("Gi"))


def test_the_gpu_pool_asks_for_a_gpu_and_tolerates_its_taint():
    [_, _, gpu] = pods(cluster("raycluster"))
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert gpu["tolerations"][0]["key"] == "nvidia.com/gpu"


@pytest.mark.parametrize("name", ["rayjob", "raycronjob"])
def test_a_job_runs_a_command_that_exists_and_takes_its_status_from_ray(name):
    spec = job(name)
    assert spec["submissionMode"] == "HTTPMode"
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] > spec["preRunningDeadlineSeconds"]
    first, verb, *arguments = shlex.split(spec["entrypoint"])
    assert first == "medsift"
    given = program().commands[verb].make_context(verb, list(arguments)).params
    assert Path(given["recipe"]).parent == Path("/etc/medsift")
    assert given["run_dir"].is_relative_to("/data")
