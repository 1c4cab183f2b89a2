"""Encode with any open_clip model: a built-in name, `hf-hub:…`, or `local-dir:/path`.

Images and texts share one space (Radford et al. 2021, arXiv 2103.00020), so cosines between them
mean something. The default of real-size recipes is BiomedCLIP (arXiv 2303.00915).
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.encoders.encoder import EncoderConfig
from curation.encoders.long_texts import encode_readable
from curation.encoders.readability import TextReader
from curation.encoders.vocabularies import reader_of
from medsift import records
from medsift.arrays import Flags, Pixels, Vectors
from medsift.errors import ModelError
from medsift.models.fixed_batches import in_fixed_batches, unit
from medsift.models.weight_files import file_digest

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

PREPROCESSING_VERSION: Final = 1
LOCAL: Final = "local-dir:"
HUB: Final = "hf-hub:"
CONFIG_NAME: Final = "open_clip_config.json"
WEIGHT_SUFFIXES: Final = (".safetensors", ".bin", ".pth", ".pt")
IDENTITY_SUFFIXES: Final = (*WEIGHT_SUFFIXES, ".json", ".txt", ".model")
CPU_BATCH: Final = 8
FIRST_GPU_BATCH: Final = 16
LARGEST_GPU_BATCH: Final = 1024
LEAST_GAIN: Final = 1.05
TIMED_RUNS: Final = 3


class OpenClipConfig(EncoderConfig):
    """Settings of a contrastive image-and-text model that open_clip can load."""

    shared_space: ClassVar[bool] = True
    kind: Literal["open_clip"] = "open_clip"
    """Kind of encoder."""
    model: str = Field(min_length=1)
    """Built-in name (with `pretrained`), `hf-hub:owner/name`, or `local-dir:/path`."""
    pretrained: str | None = None
    """Tag or file of the weights of a built-in name; null for models of the hub or a folder."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Arithmetic of autocast; auto is bf16 (else fp16) on a GPU and float32 on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto is the GPU where torch sees one."""
    batch_size: int | None = Field(None, ge=1)
    """Pictures at once; null is 8 on a CPU, and on a GPU doubles while that is faster and fits."""

    @property
    def label(self) -> str:
        """Return the model's name."""
        return self.model

    def fingerprint(self) -> str:
        """Return the identity of the vectors.

        For `local-dir:` the files' digests, so that a moved folder keeps its vectors; else the
        names of model and weights. Device and batch size do not count, since vectors stay the same
        up to rounding; a precision other than auto does.
        """
        if self.model.startswith(LOCAL):
            identity: Any = _folder_digests(Path(self.model.removeprefix(LOCAL)))
        elif self.pretrained is not None and Path(self.pretrained).is_file():
            identity = [self.model, file_digest(Path(self.pretrained))]
        else:
            identity = [self.model, self.pretrained]
        return records.fingerprint(["open_clip", PREPROCESSING_VERSION, self.precision, identity])

    def reader(self) -> TextReader:
        """Return the reader of the model's vocabulary. Raises ModelError."""
        return reader_of(load_tokenizer(self))

    def build(self) -> OpenClipEncoder:
        """Load the model onto its device. Raises ModelError."""
        return OpenClipEncoder(self)


class OpenClipEncoder:
    """A loaded open_clip model; raises ModelError when it cannot be loaded.

    Batches have one fixed shape: on one device with one batch size, a vector is the same
    whatever else is in its batch.
    """

    shared_space = OpenClipConfig.shared_space

    def __init__(self, config: OpenClipConfig) -> None:
        import open_clip
        import torch

        self.name = config.model
        self.device = _device(config.device)
        self.autocast = _autocast(config.precision, self.device)
        self.model = _load(config, self.device)
        self.tokenizer = load_tokenizer(config)
        self.reader = reader_of(self.tokenizer)
        preprocess = open_clip.transform.PreprocessCfg(**self.model.visual.preprocess_cfg)
        self.steps = _picture_steps(preprocess)
        self.mean = torch.tensor(preprocess.mean, device=self.device).view(1, 3, 1, 1)
        self.spread = torch.tensor(preprocess.std, device=self.device).view(1, 3, 1, 1)
        size: Any = preprocess.size
        height, width = size if isinstance(size, tuple | list) else (size, size)
        blank = np.zeros((1, int(height), int(width), 3), np.uint8)
        self.image_dimension = self.text_dimension = self._encode_pixels(blank).shape[1]
        self.batch_size = config.batch_size or self._batch_size(blank)

    def prepare(self, image: Image) -> Pixels:
        """Apply the model's own resize and crop, uint8 (height, width, 3)."""
        picture: Any = image
        for step in self.steps:
            picture = step(picture)
        return np.asarray(picture)

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Return unit vectors (n, image_dimension) of prepared pictures (n, height, width, 3)."""
        return in_fixed_batches(pixels, self.batch_size, self._encode_pixels, self.image_dimension)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, text_dimension), zero for texts that `reads` refuses."""

        def encode(short: Sequence[str]) -> Vectors:
            tokens, size = self.tokenizer(list(short)).numpy(), self.batch_size
            return in_fixed_batches(tokens, size, self._encode_tokens, self.text_dimension)

        return encode_readable(texts, self.reader, encode, self.text_dimension)

    def reads(self, texts: Sequence[str]) -> Flags:
        """Return whether the text tower was trained on the language of each text (n,)."""
        return self.reader.reads(texts)

    def _encode_pixels(self, pixels: Pixels) -> Vectors:
        import torch

        with torch.inference_mode(), self.autocast():
            batch = torch.from_numpy(pixels).to(self.device, non_blocking=True)
            scaled = batch.permute(0, 3, 1, 2).float() / 255.0
            features = self.model.encode_image((scaled - self.mean) / self.spread)
            return unit(features.float().cpu().numpy())

    def _encode_tokens(self, tokens: NDArray[np.int64]) -> Vectors:
        import torch

        with torch.inference_mode(), self.autocast():
            features = self.model.encode_text(torch.from_numpy(tokens).to(self.device))
            return unit(features.float().cpu().numpy())

    def _batch_size(self, blank: Pixels) -> int:
        if self.device == "cpu":
            return CPU_BATCH

        def rate(size: int) -> float:
            batch = np.repeat(blank, size, axis=0)
            self._encode_pixels(batch)
            start = time.perf_counter()
            for _ in range(TIMED_RUNS):
                self._encode_pixels(batch)
            return size * TIMED_RUNS / (time.perf_counter() - start)

        size = best_batch_size(rate)
        logger.info("open_clip %s encodes %d pictures at once on %s", self.name, size, self.device)
        return size


def best_batch_size(rate: Callable[[int], float]) -> int:
    """Return the batch size after which doubling gains under 5% or runs out of device memory.

    `rate` gives rows per second at a size and raises torch.OutOfMemoryError when it does not fit.
    Raises ModelError when even the smallest does not.
    """
    import torch

    best, speed, size = 0, 0.0, FIRST_GPU_BATCH
    while size <= LARGEST_GPU_BATCH:
        try:
            measured = rate(size)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if measured < speed * LEAST_GAIN:
            break
        best, speed, size = size, measured, size * 2
    if best == 0:
        words = f"a batch of {FIRST_GPU_BATCH} pictures does not fit on the GPU; set"
        words += " encoder.batch_size lower or encoder.device to cpu"
        raise ModelError(words, code="gpu_memory_too_small", batch=FIRST_GPU_BATCH)
    return best


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        words = "encoder.device is cuda and torch sees no GPU; set it to auto or cpu"
        raise ModelError(words, code="gpu_missing")
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return automatic if wanted == "auto" else wanted


def _autocast(precision: str, device: str) -> Callable[[], AbstractContextManager[Any]]:
    import torch

    if precision == "auto" and device == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if precision in ("auto", "float32"):
        return nullcontext
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return lambda: torch.autocast(device, dtype)


def _picture_steps(preprocess: Any) -> list[Callable[[Any], Any]]:
    """Return open_clip's preprocessing up to the conversion into a tensor."""
    from open_clip.transform import image_transform_v2
    from torchvision.transforms import Normalize, ToTensor

    steps = image_transform_v2(preprocess, is_train=False).transforms
    return [step for step in steps if not isinstance(step, ToTensor | Normalize)]


def _load(config: OpenClipConfig, device: str) -> Any:
    """Load the model in evaluation mode. Raises ModelError naming the weights and the fix."""
    import open_clip

    _check_name(config)
    fix = f"save {CONFIG_NAME} and weights to a folder and use local-dir:/path"
    with _loading(config, "", f"with a network check the name, without one {fix}"):
        settings = {"device": device, "return_transform": False, "weights_only": True}
        create = open_clip.create_model_from_pretrained
        model = create(config.model, config.pretrained, **settings)
    model.eval().requires_grad_(False)
    return model


def load_tokenizer(config: OpenClipConfig) -> Any:
    """Load the model's tokenizer, without its weights. Raises ModelError."""
    import open_clip

    _check_name(config)
    fix = "check the name and the network, or save the model's files to a folder and use"
    with _loading(config, "the tokenizer of ", f"{fix} local-dir:/path"):
        return open_clip.get_tokenizer(config.model)


@contextmanager
def _loading(config: OpenClipConfig, part: str, fix: str) -> Iterator[None]:
    """Turn what open_clip raises over missing or damaged files into a ModelError."""
    import pickle

    from safetensors import SafetensorError

    damage = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)
    try:
        yield
    except (SafetensorError, pickle.UnpicklingError, *damage) as error:
        cause = " ".join(str(error).split())[:300]
        words = f"cannot load {part}encoder.model {config.model!r}: {cause}; {fix}"
        raise ModelError(words, code="encoder_unloadable", model=config.model) from error


def _check_name(config: OpenClipConfig) -> None:
    """Refuse names that cannot load, before open_clip looks for them. Raises ModelError."""
    import open_clip

    if config.model.startswith(LOCAL):
        _folder_digests(Path(config.model.removeprefix(LOCAL)))
    if config.model.startswith((LOCAL, HUB)):
        return
    known = open_clip.list_models()
    if config.model not in known:
        near = ", ".join(difflib.get_close_matches(config.model, known, n=3)) or "ViT-B-16"
        words = f"encoder.model {config.model!r} is no open_clip model; near are {near}; allowed"
        words += f" further are {HUB}owner/name and {LOCAL}/path"
        raise ModelError(words, code="encoder_unknown", model=config.model)
    if config.pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(config.model)) or "a file"
        words = f"encoder.model {config.model!r} needs encoder.pretrained; allowed are {tags}"
        raise ModelError(words, code="encoder_weights_unnamed", model=config.model)


def _folder_digests(folder: Path) -> list[list[str]]:
    """Return name and SHA-256 of the files that make up a local model. Raises ModelError."""
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    parts = [path for path in files if path.suffix in IDENTITY_SUFFIXES]
    has_weights = any(path.suffix in WEIGHT_SUFFIXES for path in parts)
    if not has_weights or not (folder / CONFIG_NAME).is_file():
        words = f"{LOCAL}{folder} holds no model; it must hold {CONFIG_NAME} and"
        words += " open_clip_model.safetensors; save them there or correct encoder.model"
        raise ModelError(words, code="encoder_folder_incomplete", path=str(folder))
    return [[path.name, file_digest(path)] for path in parts]
