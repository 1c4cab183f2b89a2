"""Declare the tables of a run: its stages, input rows, images, samples and decisions."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables
from medsift.vocabulary import TAGS

SCHEMA_VERSION: Final = 9
OLDEST_VERSION: Final = 1
"""Older layouts lack tables; a file of one is read as it is and upgraded when it is written."""

MESSAGES_TYPE: Final = "STRUCT(role VARCHAR, content VARCHAR)[]"
IMAGES_TYPE: Final = "STRUCT(image_id VARCHAR, ref VARCHAR)[]"

_TAG_MEANINGS: Final = {
    "split": "train, validation or test, as the source says",
    "modality": "imaging technique: ct, mr, xray, ultrasound, …",
    "body_part": "organ or region shown",
    "task_type": "what is asked: presence, side, count, plane, …",
    "answer_type": "closed, open or choice",
    "language": "language code of the text",
    "patient_id": "patient, where the source names one",
    "study_id": "study, where the source names one",
    "license": "licence of the record",
    "series_id": "series of slices, where the source or a DICOM header names one",
    "plane": "plane of section: axial, coronal, sagittal or oblique",
    "laterality": "side shown: left, right or both",
    "age_class": "age group of the patient: infant, child, adolescent, adult, …",
    "sex": "sex of the patient: female, male or other",
}
_TAGS: Final = "\n".join(f"{tag} VARCHAR | {_TAG_MEANINGS[tag]}" for tag in TAGS)

RUN_TABLES: Final = tables(f"""
TABLE runs | one line per run, with everything needed to repeat it
name VARCHAR | recipe name
schema_version INTEGER | version of this layout; now {SCHEMA_VERSION}
created_at TIMESTAMP | start, UTC
finished_at TIMESTAMP | end, UTC
status VARCHAR | balanced, unbalanced or failed
recipe VARCHAR | the recipe, JSON
recipe_fingerprint VARCHAR | digest of the recipe
input_fingerprint VARCHAR | digest of the input files
code_version VARCHAR | version of MedSift
packages VARCHAR | package versions, JSON object
seed BIGINT | seed of every random choice

TABLE stages ORDER BY ordinal | one line per stage; rows_in = kept + dropped + failed
ordinal* INTEGER | position of the stage in the run, from 0
stage* VARCHAR | stage name
rows_in* BIGINT | rows that entered
kept* BIGINT | rows passed to the next stage
dropped* BIGINT | rows removed on purpose
failed* BIGINT | rows that could not be processed
seconds DOUBLE | wall time
reused BOOLEAN | whether an earlier run's output was reused
fingerprint VARCHAR | digest of settings, version and upstream

TABLE operators | time inside a stage
stage* VARCHAR | stage name
operator* VARCHAR | part of the stage
seconds* DOUBLE | time spent
rows BIGINT | rows it handled

TABLE rows ORDER BY row_id | what happened to every input row; the view `why` says it in words
row_id* VARCHAR | source name, file and index
source* VARCHAR | source name of the recipe
file* VARCHAR | input file, relative to the source's root
index* BIGINT | record number in the file, from 0
notes VARCHAR[] | repairs made while reading
sample_id VARCHAR | content id of the sample, null when the row never became one
stage VARCHAR | stage that decided; the run's last stage for a kept row
action VARCHAR | kept, dropped or failed
reason VARCHAR | reason code, null when kept
witness VARCHAR | row_id of the kept row that this row is too similar to
value DOUBLE | measured value
threshold DOUBLE | limit that the value is compared with
detail VARCHAR | more about the reason, as text

TABLE images ORDER BY image_id | one line per distinct picture: its file and measured properties
image_id* VARCHAR | SHA-256 of the decoded pixels
byte_hash VARCHAR | SHA-256 of the file
ref VARCHAR | path or URL of the file
files BIGINT | files of different bytes with these pixels
size_bytes BIGINT | file size, bytes
width INTEGER | width, pixels
height INTEGER | height, pixels
mode VARCHAR | colour mode as stored
bit_depth INTEGER | bits per channel
format VARCHAR | file format
phash VARCHAR | perceptual hash, 16 hex digits
mean FLOAT | mean grey level, 0 to 255
contrast FLOAT | standard deviation of the grey levels
entropy FLOAT | Shannon entropy of the grey histogram, bits
sharpness FLOAT | variance of the Laplacian at a fixed size
blank_share FLOAT | share of pixels at the commonest grey level
notes VARCHAR[] | repairs made while decoding
group_id VARCHAR | group of confirmed copies; its own id when it is alone
x FLOAT | first coordinate of the vector map
y FLOAT | second coordinate of the vector map

TABLE samples ORDER BY row_id | every valid row, whether it was kept or dropped later
sample_id* VARCHAR | hash of images and canonical text
row_id* VARCHAR | row it came from
source VARCHAR | source name of the recipe
{_TAGS}
question VARCHAR | first user turn
answer VARCHAR | last assistant turn, without reasoning that it begins with
messages {MESSAGES_TYPE} | the conversation: list of (role, content)
images {IMAGES_TYPE} | its pictures, in order: list of (image_id, ref)
extra VARCHAR | further columns of the recipe, JSON object
notes VARCHAR[] | repairs made
stratum VARCHAR | group to balance; by default modality / task_type / answer_type
place BIGINT | number of the sample in this file; joins with selections.place

TABLE volumes ORDER BY row_id, place | one line per volume that a row shows as slices
row_id* VARCHAR | row that shows it
place* INTEGER | number among the pictures that the row names, from 0
ref VARCHAR | path or URL of its file or folder
kind VARCHAR | dicom, dicom series or nifti
sampler VARCHAR | how slices were chosen
slices INTEGER | slices of the volume, after duplicates
shown INTEGER[] | numbers of the slices that the sample shows, from 1 in the order of position
plane VARCHAR | plane of the slices: axial, coronal, sagittal or oblique
spacing_mm DOUBLE | distance of neighbouring slices
pixel_mm DOUBLE[] | distance of rows and of columns as stored
window_shown VARCHAR | values from black to white, and where they come from
orientation VARCHAR | where the left, right, front and back of the body are in each slice
missing INTEGER | slices that gaps between positions lack
duplicates INTEGER | slices left out because another one is at their position
notes VARCHAR[] | what else a person should know

TABLE decisions ORDER BY row_id | the ledger: one line per dropped or failed row
row_id* VARCHAR | row decided on
sample_id VARCHAR | content id of the sample, null when the row never became one
stage* VARCHAR | stage that decided
action* VARCHAR | dropped or failed
reason* VARCHAR | reason code
witness VARCHAR | row_id of the kept row that this row is too similar to
value DOUBLE | measured value
threshold DOUBLE | limit that the value is compared with
detail VARCHAR | more about the reason, as text
""")
