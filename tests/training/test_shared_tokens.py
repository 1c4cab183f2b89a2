"""Workers that share their tokens see what one process computes, each reading a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from tests.training.conftest import MakeRun, asked, draw, recipe
from training.dataset import shared_tokens
from training.dataset.chat_labels import ChatEncoder, Encoded
from training.dataset.samples import Sample, read_selection
from training.dataset.shared_tokens import TRAINING, SharedTokens, remove_tokens
from training.model.base_model import load_base
from training.prepare import prepare
from training.recipe import TrainingRecipe


class Together:
    """One of several workers, each a thread of its own."""

    def __init__(self, rank: int, barrier: Barrier) -> None:
        self.rank, self.world_size, self.barrier = rank, barrier.parties, barrier.wait


@pytest.fixture
def made(make_run: MakeRun, qwen: Path, tmp_path: Path) -> TrainingRecipe:
    """A selection with pictures, talk of several turns, and samples that cannot be learned."""
    files = [draw(tmp_path / f"{k}.png", k) for k in range(2)]
    rows = [asked(f"is {k} clear?", "yes " * k, files[k % 2]) for k in range(1, 8)]
    rows.append(asked("what is <|im_end|>?", "a mark", files[0]))
    return recipe(make_run(rows), qwen)


@pytest.fixture
def encoder(made: TrainingRecipe) -> ChatEncoder:
    return ChatEncoder(load_base(made.base, made.precision, False, False), made.data.max_pixels)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_tokens, "CHUNK", 3)


def samples_of(made: TrainingRecipe) -> tuple[Sample, ...]:
    return read_selection(made.run, made.selection).samples


def same(left: object, right: object) -> bool:
    if not isinstance(left, Encoded) or not isinstance(right, Encoded):
        return left == right
    equal = (left.spans, left.added, left.unlearned) == (right.spans, right.added, right.unlearned)
    return equal and left.ids.dtype == right.ids.dtype and np.array_equal(left.ids, right.ids)


def counted(encoder: ChatEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows that are tokenised from now on."""
    rows: list[str] = []
    encode = encoder.encode

    def counting(samples):
        rows.extend(sample.row_id for sample in samples)
        return encode(samples)

    monkeypatch.setattr(encoder, "encode", counting)
    return rows


def test_workers_tokenise_every_sample_once_and_all_see_the_same(
    made: TrainingRecipe,
    encoder: ChatEncoder,
    small_shards: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = samples_of(made)
    expected = list(encoder.encode(samples))
    tokenised = counted(encoder, monkeypatch)
    barrier, seen = Barrier(2), {}

    def work(rank: int) -> None:
        shared = SharedTokens(tmp_path / "tokens", Together(rank, barrier))
        seen[rank] = shared.encode(TRAINING, encoder, samples)

    threads = [Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tokenised) == sorted(sample.row_id for sample in samples)
    for outcomes in seen.values():
        assert len(outcomes) == len(expected)
        assert all(map(same, outcomes, expected))
        assert all(same(outcomes[place], one) for place, one in enumerate(expected))
        with pytest.raises(IndexError):
            outcomes[len(expected)]


def test_what_a_lost_worker_left_is_used_and_a_new_start_begins_anew(
    made: TrainingRecipe,
    encoder: ChatEncoder,
    small_shards: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = samples_of(made)
    alone: Callable[[], SharedTokens] = lambda: SharedTokens(  # noqa: E731
        tmp_path / "tokens", Together(0, Barrier(1))
    )
    alone().encode(TRAINING, encoder, samples)
    lost = sorted((tmp_path / "tokens").rglob("*.arrow"))[1]
    lost.unlink()
    tokenised = counted(encoder, monkeypatch)
    alone().encode(TRAINING, encoder, samples)
    assert tokenised == [sample.row_id for sample in samples[3:6]]
    remove_tokens(tmp_path / "tokens")
    assert not list((tmp_path / "tokens").rglob("*.arrow"))


def test_a_training_is_prepared_alike_with_shared_tokens(
    made: TrainingRecipe, tmp_path: Path
) -> None:
    shared = SharedTokens(tmp_path / "tokens", Together(0, Barrier(1)))
    apart, together = prepare(made), prepare(made, tokens=shared)
    for prepared in (apart, together):
        prepared.close()
    assert together.decisive == apart.decisive
    assert together.dropped == apart.dropped
    assert together.example == apart.example
    pairs = zip(together.training.encodings.encoded, apart.training.encodings.encoded, strict=True)
    assert all(same(*pair) for pair in pairs)
