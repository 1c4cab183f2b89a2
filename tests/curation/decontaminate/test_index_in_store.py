"""The index of a benchmark lies in a store as well as in a folder."""

from __future__ import annotations

import pytest

from curation.decontaminate import BenchmarkIndex, build_index, check_index, read_index, write_index
from curation.decontaminate.config import BenchmarkConfig
from curation.decontaminate.index import fingerprint
from medsift.storage import mirror
from medsift.storage.mirror import mirror_of
from tests.curation.decontaminate.test_listed_pictures import blob, facts, samples, strangers
from tests.expect import raises_code


def index_of(*seeds: int) -> BenchmarkIndex:
    pictures = {f"{seed}": blob(seed) for seed in seeds}
    vectors = strangers(pictures, axis=0)
    return build_index("bench", samples(pictures), facts(pictures), vectors, "e", gram=13)


def test_another_machine_reads_what_was_written_and_what_replaced_it(
    bucket_url: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket_url}/exam"
    config = BenchmarkConfig(name="exam", index=url)  # type: ignore[arg-type]
    assert config.model_dump(mode="json")["index"] == url
    with raises_code("benchmark_index_unreadable"):
        check_index(config.index, "e")
    for number, seeds in enumerate(((1, 2), (3, 4, 5))):
        written = index_of(*seeds)
        monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / "writer"))
        write_index(written, mirror_of(url))
        for reader in ("one", f"other-{number}"):
            monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / reader))
            monkeypatch.setattr(mirror, "_compared", set())
            found = read_index(config.index, "e")
            assert fingerprint(found) == fingerprint(written)
            assert found.images.equals(written.images.combine_chunks())
    with raises_code("benchmark_index_unfit"):
        check_index(config.index, "other")
