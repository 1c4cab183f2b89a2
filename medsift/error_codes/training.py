"""Error codes of fine-tuning."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
checkpoint_unreadable: A checkpoint is damaged or gone.
  Do: Remove it; the training resumes from the one before.
checkpoint_of_other_training: A checkpoint belongs to another model or other settings.
  Do: Give this training a new name, or take the change back.
selection_contaminated: Samples are, or may be, in a benchmark that the recipe names.
  Do: Set leaks: drop, decide the near ones, or allow it.
selection_untrainable: The selection is empty, or none of its samples fits the model.
  Do: Select again, or raise the limits that the message names.
training_result_unreadable: A folder is no result of a training.
  Do: Name the folder `result` that `medsift train` wrote.
merge_output_in_the_way: The folder for the merged model is there already.
  Do: Name a new folder.
merge_refused: The merged model would not be the base with its adapter.
  Do: Put the base back as it was when the adapter was trained.
memory_exhausted: The device has too little memory for the training's settings.
  Do: Take the change that the message proposes.
packing_unsupported: The model does not keep packed samples apart.
  Do: Set batches.packing: false.
mixture_unfit: The weights or shares of a mixture do not fit the selection.
  Do: Name values that the message lists; for shares, exactly those.
weights_invalid: Sample weights are negative, not finite or all zero.
  Do: Select again, or set data.weights: none.
loss_not_finite: The loss or a gradient is no number.
  Do: Lower the learning rate, or take the change that the message proposes.
weights_without_gradient: Some of the trained weights got no gradient.
  Do: Narrow the trained modules to what the model uses.
trainable_parts_invalid: The settings of what is trained do not fit the model.
  Do: Correct the setting that the message names.
questions_refused: The model refused every question of a step, so that there are no replies.
  Do: Allow fewer new tokens or smaller pictures, or name another model.
replies_all_cut: Every reply of a step was cut at the limit, and cut replies are left out.
  Do: Raise policy.max_new_tokens, or set policy.mask_truncated: false.
rewards_constant: All replies to each question of the first step earned the same.
  Do: Raise policy.group or policy.temperature, or choose questions answered now and then.
pairs_missing: No sample of the selection has a right and a wrong reply to learn from.
  Do: Draw replies to the same selection, allow more of them, or name another set of replies.
held_out_invalid: The held-out samples are none, or share content with training.
  Do: Hold out whole groups by data.held_out.share, or let the curation assign splits.
""")
