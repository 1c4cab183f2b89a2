"""Error codes of sources, pictures, exports and phantoms."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
source_missing: There is no file, folder or glob match at the path of a source.
  Do: Correct the source's path; the message names the nearest existing name.
source_empty: A source has no file that its reader can read, or its files hold no records.
  Do: Point path at files of a format that the reader lists, with at least one record.
source_unlistable: The folder or bucket of a source cannot be listed.
  Do: Check the URL, the credentials and the network.
source_format_unknown: The suffix of a file does not say in which format it is.
  Do: Set format to one of the values that the message lists.
file_empty: A file that the source names has no byte.
  Do: Fetch the file again, or remove it.
file_unreadable: A file cannot be opened, or is a link to nothing, a pipe or a device.
  Do: Correct the permissions, or write its content to a plain file.
file_broken: A file is cut short, or its JSON, CSV, Parquet, gzip or tar structure is damaged.
  Do: Fetch the file again, or repair it at the place that the message names.
file_too_large: A packed tar unpacks to more than file_bytes.
  Do: Raise file_bytes if the size is meant.
encoding_unknown: A file is not UTF-8.
  Do: Convert it, for example with iconv -f UTF-16 -t UTF-8.
json_shape_unknown: A JSON file does not hold a list of records, and none can be guessed.
  Do: Set records to the key of the list, or write a list or one object a line.
line_too_long: A line of a CSV file has more letters than line_bytes.
  Do: Close the quote that is open, or raise line_bytes.
separator_unclear: Two separators fit a CSV file equally well.
  Do: Set separator.
csv_header_unreadable: The header of a CSV file is broken, or names one column twice.
  Do: Give every column a name of its own.
records_unreadable: None of the first records of a source can be read.
  Do: Correct the format; the message names what is wrong with the first record.
source_column_unknown: An expression under columns names a column that the files do not have.
  Do: Use one of the columns that the message lists.
target_missing: A source has no question, answer or conversation.
  Do: Map the target under columns, from one of the columns that the message lists.
target_misspelled: A target under columns is written in another case.
  Do: Write it in lower case.
expression_invalid: An expression under columns is not one SQL expression over the columns of one
    row.
  Do: Correct the expression; quote a column name with spaces: '"my column"'.
expression_too_costly: SQL of a recipe takes more memory than it may.
  Do: Write an expression that makes less of each row.
split_unclear: The name of a file or folder may mean a held-out split, but not clearly.
  Do: Set columns.split, for example split: "'test'".
split_unknown: A data set has no split of that name.
  Do: Use one of the splits that the message lists.
hub_option_unfit: split, config or revision was given for files that have no such parts.
  Do: Leave the option out, or name the data set by its hub name or a copy of its repository.
dataset_unloadable: A Hugging Face data set cannot be loaded.
  Do: Check its name, the network and access rights, or download it and give the folder.
value_nested_too_deeply: A value has more levels of lists and objects than published data has.
  Do: Write it flatter.
export_format_unknown: There is no export format of that name.
  Do: Use one of the formats that the message lists.
export_output_in_the_way: The output of an export exists already, or is a file where a folder is
    written.
  Do: Name another --output, or remove the old one.
export_picture_missing: A picture of the selection is no longer where the run read it.
  Do: Put the file back, or curate again.
export_picture_unreadable: A picture of the selection cannot be decoded any more, or exceeds the
    run's limits.
  Do: Put the old file back, or curate again.
export_picture_changed: A picture of the selection shows other pixels than in the run.
  Do: Put the old file back, or curate again.
output_unwritable: An output cannot be written; nothing half-written remains.
  Do: Free some space, correct the permissions, or choose another output.
phantom_option_invalid: An option of the phantom set is out of its range.
  Do: Give a value in the range that the message names.
phantom_options_clash: A phantom pool of known shape was asked for with other defects.
  Do: Give the share of wrong answers alone, or leave the shape out.
phantom_cells_empty: A phantom pool is too small for its imbalance: a cell would have no row, or
    fewer than it should.
  Do: Ask for another number of images, or for less imbalance.
phantom_folder_in_the_way: The folder of a phantom set holds something else.
  Do: Name a new folder, or remove the old one.
phantom_rows_too_few: A phantom set has too few rows free of other defects for the noise asked for.
  Do: Ask for fewer noisy rows, or for more images.
fate_missing: A row of the phantom truth has no fate in the table to score.
  Do: Give the fate of every row of samples.jsonl, the kept ones too.
picture_changed: A picture is gone, or shows other pixels than when it was curated.
  Do: Put it back, or curate again without it.
picture_unreadable: A picture cannot be read from its disk or store.
  Do: Check the permissions and the connection.
image_reference_invalid: A record names a picture outside `image_root`, or by no path and no URL.
  Do: Set `image_root` to the folder or URL that holds the pictures.
image_missing: A file that a row names is not there; the row fails with this reason.
  Do: Add the file or remove the row.
image_unreadable: A picture's file cannot be read; the row fails with this reason.
  Do: Check the permissions of the file.
image_empty: A picture's file has no bytes; the row fails with this reason.
  Do: Copy the file again.
not_an_image: A file is no picture of a known format; the row fails with this reason.
  Do: Convert it to JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM.
image_truncated: A picture's file ends too early or is damaged; the row fails with this reason.
  Do: Copy the file again.
image_decoder_crashed: A picture ended the process that decodes it, twice; the row fails with this
    reason.
  Do: Convert the picture with another program, or remove its row.
image_decoder_stalled: A picture was not decoded in time, twice; the row fails with this reason.
  Do: Raise `compute.decode_seconds` and curate with `--retry failed:image_decoder_stalled`, or
    remove its row.
image_too_large: A picture has more pixels or bytes than allowed; the row fails with this reason.
  Do: Raise `images.max_pixels` or `images.max_bytes` if the file is trusted.
image_too_small: A picture's shorter side is below the limit; the row fails with this reason.
  Do: Lower `images.min_side` to keep it.
volume_series_several: A folder has several series, and the row does not say which; the row fails.
  Do: Name one, as `folder#3` by its SeriesNumber, or set `volumes.series` to largest.
volume_series_unknown: A folder has no series of that number or identifier; the row fails.
  Do: Use one that the message lists.
volume_patients_mixed: Slices of one series name several patients; the row fails with this reason.
  Do: Separate their files.
volume_positions_missing: The positions of a volume's slices are not known, and the recipe chooses
    by millimetres; the row fails with this reason.
  Do: Choose slices by number: `uniform:8`, `middle` or `around:z`.
volume_slice_unknown: A row names a slice that its volume does not have; the row fails.
  Do: Give a number from 1 to the number of slices, or a position such as `-12.5 mm`.
volume_slices_too_many: A sampler takes more slices than `volumes.max_slices`; the row fails.
  Do: Choose fewer slices, or raise `volumes.max_slices`.
volume_not_three_dimensional: A NIfTI file has other than three sides; the row fails.
  Do: Write one time or one channel of it as a file of its own.
volume_orientation_missing: A NIfTI file does not say where left and right are; the row fails.
  Do: Set its sform or qform; guessing would mirror patients.
patient_key_missing: The file of `volumes.patient_key` cannot be read.
  Do: Make it, for example by `openssl rand -out FILE 32`, and keep it outside the run.
patient_key_short: The file of `volumes.patient_key` has too few bytes for a secret.
  Do: Write 16 random bytes or more, for example by `openssl rand -out FILE 32`.
image_unsupported: A picture is of a kind that is not read; the row fails with this reason.
  Do: See docs/images.md for what is read.
""")
