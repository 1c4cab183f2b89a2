"""A folder of DICOM, NIfTI, phantoms and VQA-RAD: one manifest, a selection, an export, steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curation.exports.write_export import export
from curation.phantoms import make_phantoms
from curation.pipeline import curate
from curation.recipe import parse_recipe
from evaluation.benchmarks.manifest import ManifestSplit
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.medsift.images.dicom_files import nibabel_files, pydicom_files
from tests.training.conftest import recipe
from training.run import train_here

RECIPE = """
name: mixed
sources:
  - name: volumes
    reader: table
    path: {root}/volumes/rows.jsonl
    volumes: {{slices: "uniform:4", patient_key: {root}/key}}
  - {{name: phantoms, reader: table, path: {root}/phantoms/samples.jsonl,
      image_root: {root}/phantoms/images, columns: {{images: image}}}}
  - {{name: vqa_rad, reader: table, path: {root}/vqa_rad.jsonl, image_root: {vqa}/images,
      columns: {{images: image_name, body_part: image_organ, study_id: image_case_url,
                 split: "'train'", modality: "case image_organ when 'CHEST' then 'xray' end"}}}}
encoder: {{kind: embedded}}
cache: {cache}
strata: [modality]
failures: {{tolerance: 0.25}}
splits: {{assign: patient, shares: {{train: 0.8, test: 0.2}}}}
selections:
  - {{name: balanced, method: {{kind: random}}, budget: {{count: 24}}, quotas: equal}}
"""
SERIES = ("98892001/CT5N", "98892003/MR2", "77654033/CT2", "77654033/CR1")


def write_volumes(folder: Path) -> int:
    """Copy pydicom's and nibabel's files, and write a question about each; return how many."""
    shutil.copytree(pydicom_files() / "dicomdirtests", folder / "dicom")
    named = [f"dicom/{name}" for name in SERIES]
    for name in ("CT_small.dcm", "rtdose.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"):
        shutil.copy(pydicom_files() / name, folder)
        named.append(name)
    for name in ("anatomical.nii", "reoriented_anat_moved.nii", "standard.nii.gz"):
        shutil.copy(nibabel_files() / name, folder)
        named.append(name)
    lines = [
        {"question": f"What is number {place}?", "answer": f"thing {place}", "images": [name]}
        | ({"modality": "mr"} if name.endswith((".nii", ".nii.gz")) else {})
        for place, name in enumerate(named)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return len(lines)


@pytest.mark.nightly
def test_dicom_nifti_phantoms_and_vqa_rad_become_one_set_that_trains(
    vqa_rad: Path, qwen: Path, vectors: Path, tmp_path: Path
) -> None:
    (tmp_path / "volumes").mkdir()
    count = write_volumes(tmp_path / "volumes")
    make_phantoms(tmp_path / "phantoms", images=16, seed=3)
    (tmp_path / "key").write_bytes(b"k" * 32)
    rows = (vqa_rad / "vqa_rad.jsonl").read_text(encoding="utf-8").splitlines()[:24]
    (tmp_path / "vqa_rad.jsonl").write_text("\n".join(rows), encoding="utf-8")
    text = RECIPE.format(root=tmp_path, vqa=vqa_rad, cache=vectors)
    result = curate(parse_recipe(text), tmp_path / "run", LocalExecutor())

    def ask(sql: str) -> list[dict[str, object]]:
        return read(result.manifest, sql).to_pylist()

    # One folder has three series, and its row does not say which.
    assert ask("SELECT count(*) AS n FROM volumes") == [{"n": count - 1}]
    several = "SELECT count(*) AS n FROM decisions WHERE reason = 'volume_series_several'"
    assert ask(several) == [{"n": 1}]
    funnel = ask("SELECT rows_in, kept, dropped, failed FROM stages")
    assert all(one["rows_in"] == one["kept"] + one["dropped"] + one["failed"] for one in funnel)
    chosen = ask(
        "SELECT stratum, count(*) AS n FROM selections WHERE selection = 'balanced' GROUP BY 1"
    )
    pool = {one["stratum"]: one["pool"] for one in ask("SELECT stratum, pool FROM strata")}
    assert sum(one["n"] for one in chosen) == 24
    assert len(chosen) == len(pool) > 3
    most = max(one["n"] for one in chosen)
    # Equal shares: a stratum with fewer has given all that it has.
    assert all(one["n"] >= min(most - 1, pool[one["stratum"]]) for one in chosen)
    written = export(result.manifest, "llava", tmp_path / "set.json", "balanced", record=False)
    assert written.rows == 24
    assert ask("SELECT max(len(images)) AS n FROM selected_samples")[0]["n"] == 4
    held_out = ManifestSplit(path=str(tmp_path / "run")).load(tmp_path / "cache")
    assert held_out.items.num_rows
    quick = {"lora": {"rank": 2, "alpha": 4}, "batches": {"max_samples": 2}, "steps": 2}
    quick |= {"log": {"tensorboard": False}, "selection": "balanced"}
    trained = train_here(recipe(tmp_path / "run", qwen, **quick))
    assert (trained.training.result / "adapter_model.safetensors").is_file()
