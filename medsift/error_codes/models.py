"""Error codes of models and encoders."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "encoder_folder_incomplete": ErrorCode(
        "The local folder of an encoder lacks its configuration or its weights.",
        "Save open_clip_config.json and open_clip_model.safetensors there.",
    ),
    "encoder_unknown": ErrorCode(
        "open_clip has no model of that name.",
        "Use a name that the message lists, hf-hub:owner/name or local-dir:/path.",
    ),
    "encoder_unloadable": ErrorCode(
        "The weights or the tokenizer of an encoder cannot be loaded.",
        "Check the name and the network, or save the model to a folder and use local-dir:/path.",
    ),
    "encoder_weights_unnamed": ErrorCode(
        "An open_clip model needs to know which weights to load.",
        "Set encoder.pretrained to one of the tags that the message lists.",
    ),
    "gpu_memory_too_small": ErrorCode(
        "Not even the smallest batch of pictures fits on the GPU.",
        "Set encoder.batch_size lower, or encoder.device to cpu.",
    ),
    "tokenizer_unsupported": ErrorCode(
        "MedSift cannot look at the vocabulary of the encoder's tokenizer.",
        "Name a model with CLIP's own or a Hugging Face tokenizer.",
    ),
    "adapter_unusable": ErrorCode(
        "An adapter is not there, is damaged, or belongs to another model.",
        "Name the folder that the training wrote, and the model it was trained on.",
    ),
    "chat_template_unusable": ErrorCode(
        "The model has no chat template that can be used.",
        "Name a chat model, or save its template next to it.",
    ),
    "model_unsuitable": ErrorCode(
        "The model cannot do what is asked, such as see pictures or continue text.",
        "Name a model of the kind that the message asks for.",
    ),
    "model_unloadable": ErrorCode(
        "The model cannot be loaded from its folder or the hub.",
        "Check the name and the connection, or name a folder with safetensors weights.",
    ),
    "weights_damaged": ErrorCode(
        "Packaged weights are missing, unreadable or not the expected ones.",
        "Reinstall the package that the message names.",
    ),
}
