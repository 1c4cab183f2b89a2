"""Error codes of fine-tuning."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "checkpoint_unreadable": ErrorCode(
        "A checkpoint is damaged or gone.",
        "Remove it; the training resumes from the one before.",
    ),
    "checkpoint_of_other_training": ErrorCode(
        "A checkpoint belongs to another model or other settings.",
        "Give this training a new name, or take the change back.",
    ),
    "selection_contaminated": ErrorCode(
        "Samples are, or may be, in a benchmark that the recipe names.",
        "Set leaks: drop, decide the near ones, or allow it.",
    ),
    "selection_untrainable": ErrorCode(
        "The selection is empty, or none of its samples fits the model.",
        "Select again, or raise the limits that the message names.",
    ),
    "training_result_unreadable": ErrorCode(
        "A folder is no result of a training.",
        "Name the folder `result` that `medsift train` wrote.",
    ),
    "merge_output_in_the_way": ErrorCode(
        "The folder for the merged model is there already.",
        "Name a new folder.",
    ),
    "merge_refused": ErrorCode(
        "The merged model would not be the base with its adapter.",
        "Put the base back as it was when the adapter was trained.",
    ),
    "memory_exhausted": ErrorCode(
        "The device has too little memory for the training's settings.",
        "Take the change that the message proposes.",
    ),
    "packing_unsupported": ErrorCode(
        "The model does not keep packed samples apart.",
        "Set batches.packing: false.",
    ),
    "mixture_unfit": ErrorCode(
        "The shares of a mixture do not fit the selection.",
        "Name a share for exactly the values that the message lists.",
    ),
    "weights_invalid": ErrorCode(
        "Sample weights are negative, not finite or all zero.",
        "Select again, or set data.weights: none.",
    ),
    "loss_not_finite": ErrorCode(
        "The loss or a gradient is no number.",
        "Lower the learning rate, or take the change that the message proposes.",
    ),
    "weights_without_gradient": ErrorCode(
        "Some of the trained weights got no gradient.",
        "Narrow the trained modules to what the model uses.",
    ),
    "trainable_parts_invalid": ErrorCode(
        "The settings of what is trained do not fit the model.",
        "Correct the setting that the message names.",
    ),
    "held_out_invalid": ErrorCode(
        "The held-out samples are none, or share content with training.",
        "Hold out whole groups by data.held_out.share, or let the curation assign splits.",
    ),
}
