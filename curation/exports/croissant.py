"""Describe an export in Croissant metadata (MLCommons, format 1.0): files, records, lineage.

Lineage uses W3C PROV-O terms, as Croissant 1.1 recommends; a reader of 1.0 ignores it.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.datasheet import RAI, rai_fields
from curation.exports.export_format import ExportFormat, Json
from curation.exports.licences import licence_url
from curation.exports.lineage import Lineage
from curation.exports.turns import FACTS, IDENTITY, NUMBERS

FILE_NAME: Final = "croissant.json"
CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
RECORDS: Final = "samples"

_TERMS: Final = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_TYPES: Final = {
    "string": "sc:Text",
    "int64": "sc:Integer",
    "double": "sc:Float",
    "float64": "sc:Float",
}


def croissant(
    export_format: ExportFormat,
    root: Path,
    files: Sequence[Path],
    lineage: Lineage,
    pictures: Sequence[Path] = (),
) -> str:
    """Return the metadata as JSON text.

    Args:
        export_format: The format that was exported.
        root: The folder that paths are relative to: that of the Croissant file.
        files: The data files.
        lineage: Where their samples come from.
        pictures: Files that data files name by their paths.
    """
    run = lineage.run
    curator = "MedSift" + (f" {run['code_version']}" if run["code_version"] else "")
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CONFORMS_TO, RAI],
        "name": f"{run['name']}: {lineage.selection}",
        "description": f"{lineage.made()} Curated by MedSift. Not for clinical use.",
        "citeAs": f"{run['name']}: {lineage.selection}. Curated by {curator}, run {run['run_id']}.",
        "identifier": f"{run['run_id']}/{lineage.selection}",
        "version": "1.0.0",
        "keywords": ["medical", "vision-language", "instruction tuning"],
        **_known("license", [licence_url(name) for name in lineage.licences if name]),
        **_known("inLanguage", lineage.languages),
        **_moment("datePublished", lineage.counts["created_at"]),
        **rai_fields(lineage),
        **_provenance(lineage),
        "distribution": [
            *(_file(path, root, export_format.media_type) for path in files),
            *(_file(path, root, _media_type(path)) for path in pictures),
        ],
    }
    if export_format.fields is not None:
        # One file is read as itself, so that its checksum is verified; several are read as a set.
        source: Json = {"fileObject": {"@id": _id(files[0], root)}}
        if len(files) > 1:
            source = {"fileSet": {"@id": "data"}}
            file_set = {"@type": "cr:FileSet", "@id": "data", "name": "data"}
            file_set["encodingFormat"] = export_format.media_type
            document["distribution"].append({**file_set, "includes": export_format.pattern})
        document["recordSet"] = [
            {
                "@type": "cr:RecordSet",
                "@id": RECORDS,
                "name": RECORDS,
                "description": "One record a sample, in the order of the selection.",
                "key": {"@id": f"{RECORDS}/sample_id"},
                "field": [_field(field, source) for field in export_format.fields(files[0])],
            }
        ]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _media_type(picture: Path) -> str:
    return mimetypes.guess_type(picture.name)[0] or "application/octet-stream"


def table_fields(path: Path) -> list[Json]:
    """Return the fields of a Parquet file, from its columns.

    Structs, and lists of lists such as chat contents made of parts, are left out: `mlcroissant`
    reads one level.
    """
    import pyarrow.parquet as pq

    fields = map(_table_field, pq.read_schema(path))
    return [field for field in fields if field is not None]


def line_fields(path: Path) -> list[Json]:
    """Return the fields of JSON Lines that name a sample and its weight.

    Tags are left out, because text that looks like a number would be read as one.
    """
    return [_leaf(name, {"column": name}, NUMBERS.get(name, "string")) for name in IDENTITY]


def array_fields(path: Path) -> list[Json]:
    """Return the fields of a JSON array of conversations."""
    # Separate fields, not parts of one: `mlcroissant` reads no parts from a JSON file.
    turns = {"jsonPath": "$[*].conversations"}
    said = [_part("conversations", key, turns) | {"repeated": True} for key in ("from", "value")]
    kinds = {name: NUMBERS.get(name, "string") for name in FACTS}
    return said + [_leaf(name, {"jsonPath": f"$[*].{name}"}, kinds[name]) for name in FACTS]


def _table_field(field: pa.Field) -> Json | None:
    column = {"column": field.name}
    if pa.types.is_struct(field.type):
        return None
    if not pa.types.is_list(field.type):
        return _leaf(field.name, column, str(field.type))
    inside = field.type.value_type
    if not pa.types.is_struct(inside):
        return _leaf(field.name, column, str(inside)) | {"repeated": True}
    if any(pa.types.is_nested(part.type) for part in inside):
        return None
    if inside.get_field_index("bytes") >= 0:
        picture = {"dataType": "sc:ImageObject", "repeated": True}
        return _part("", field.name, column, "bytes") | picture
    parts = [_part(field.name, part.name, column) for part in inside]
    return {"name": field.name, "repeated": True, "subField": parts}


def _leaf(name: str, extract: Json, kind: str = "string") -> Json:
    """Return a field of one value, whose Arrow type is `kind`."""
    return {"name": name, "dataType": _TYPES[kind], "source": {"extract": extract}}


def _part(parent: str, name: str, extract: Json, key: str | None = None) -> Json:
    """Return a field that is one key of each object in a list."""
    source = {"extract": extract, "transform": {"jsonPath": key or name}}
    return {"name": f"{parent}/{name}".lstrip("/"), "dataType": "sc:Text", "source": source}


def _field(field: Json, source: Json) -> Json:
    """Return a field and its parts with their identifiers and the files that they are read from."""
    name = field["name"].rsplit("/", 1)[-1]
    full = {"@type": "cr:Field", "@id": f"{RECORDS}/{field['name']}", **field, "name": name}
    if "source" in field:
        full["source"] = {**source, **field["source"]}
    if "subField" in field:
        full["subField"] = [_field(part, source) for part in field["subField"]]
    return full


def _file(path: Path, root: Path, media_type: str) -> Json:
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": _id(path, root),
        "name": path.name,
        "contentUrl": path.relative_to(root).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": media_type,
        "sha256": checksum,
    }


def _id(path: Path, root: Path) -> str:
    """Return the identifier of a file: its path, without the white space that none may have."""
    return "-".join(path.relative_to(root).as_posix().split())


def _provenance(lineage: Lineage) -> Json:
    run = lineage.run
    agent = {"@type": "prov:SoftwareAgent", "name": "MedSift", "version": run["code_version"]}
    sources = [
        {
            "@type": ["prov:Entity", "sc:Dataset"],
            "name": line["source"] or "unknown source",
            **_known("license", [licence_url(line["license"])] if line["license"] else []),
            "additionalProperty": _property("samples", line["samples"]),
        }
        for line in lineage.sources
    ]
    return {
        "prov:wasDerivedFrom": sources,
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "name": f"medsift run {run['run_id']}",
            **_moment("prov:startedAtTime", run["created_at"]),
            **_moment("prov:endedAtTime", run["finished_at"]),
            "prov:wasAssociatedWith": {key: value for key, value in agent.items() if value},
            "additionalProperty": [_property(*item) for item in lineage.identity().items()],
        },
    }


def _property(name: str, value: Any) -> Json:
    return {"@type": "PropertyValue", "name": name, "value": value}


def _moment(name: str, moment: Any) -> Json:
    return {} if moment is None else {name: f"{moment.isoformat(timespec='seconds')}Z"}


def _known(name: str, values: Sequence[str]) -> Json:
    """Return a property with its values; nothing without values."""
    return {} if not values else {name: values[0] if len(values) == 1 else list(values)}
