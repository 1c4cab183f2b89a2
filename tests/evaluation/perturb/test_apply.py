from __future__ import annotations

import pickle

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evaluation.perturb import FAMILIES
from evaluation.perturb.apply import VARIED, find_variant, find_variants, vary
from evaluation.records import ITEMS
from tests.expect import raises_code


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=ITEMS)


@pytest.fixture(scope="module")
def varied(real_items):
    return vary(real_items, find_variants(["all"], real_items), 0)


def test_every_item_and_variant_is_made_or_left_out_with_a_reason(real_items, varied):
    variants = find_variants(["all"], real_items)
    assert varied.items.num_rows + varied.skipped.num_rows == real_items.num_rows * len(variants)
    assert varied.items.schema.equals(VARIED)
    both = pa.concat_tables(
        [part.select(["item_id", "variant"]) for part in (varied.items, varied.skipped)]
    )
    assert both.group_by(["item_id", "variant"]).aggregate([]).num_rows == both.num_rows
    assert min(len(reason) for reason in varied.skipped["reason"].to_pylist()) > 5


def test_the_original_is_the_item_itself(real_items, varied):
    original = varied.items.filter(pc.equal(varied.items["variant"], "original"))
    assert original.drop_columns("variant").equals(real_items)


def test_ids_clusters_and_tags_stay_in_every_variant(real_items, varied):
    kept = [
        "item_id",
        "benchmark",
        "image_id",
        "patient_id",
        "modality",
        "task_type",
        "answer_type",
    ]
    columns = real_items.select(kept).to_pylist()
    of_item = {line["item_id"]: line for line in columns}
    for line in varied.items.select(kept).to_pylist():
        assert line == of_item[line["item_id"]]


def test_the_order_of_items_and_variants_changes_nothing_but_the_order(real_items, varied):
    names = [variant.name for variant in find_variants(["all"], real_items)]
    backwards = real_items.take(pa.array(range(real_items.num_rows - 1, -1, -1)))
    again = vary(backwards, find_variants(names[::-1], backwards), 0)
    order = [("item_id", "ascending"), ("variant", "ascending")]
    assert again.items.sort_by(order).equals(varied.items.sort_by(order))
    assert again.skipped.sort_by(order).equals(varied.skipped.sort_by(order))


def test_another_seed_makes_other_swaps_and_typos(real_items):
    variants = find_variants(["swapped_image", "typos"], real_items)
    first, second = (vary(real_items, variants, seed).items for seed in (0, 1))
    assert first.num_rows == second.num_rows
    different = sum(a != b for a, b in zip(first.to_pylist(), second.to_pylist(), strict=True))
    assert different > first.num_rows * 0.7


def test_a_family_means_all_its_levels_and_nothing_twice(make_item):
    choice = table(make_item(options=["a", "b", "c"], gold="A", answer_type="choice"))
    found = find_variants(["noise", "noise@2", "rotation", "no_image"], choice)
    names = [variant.name for variant in found]
    assert names == ["noise@1", "noise@2", "noise@3", "rotation@1", "rotation@2", "no_image"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fog", "families are original, no_image"),
        ("noise@4", "noise@1, noise@2, noise@3"),
        ("noise@x", "noise@1"),
        ("blank@1", "of blank there is blank"),
        ("rotation@0", "rotation@1 and so on"),
        ("rotation@-1", "rotation@1 and so on"),
        ("no_image@", "of no_image there is no_image"),
    ],
)
def test_an_unknown_variant_is_one_line_that_says_what_there_is(name, said):
    with raises_code("variant_unknown", variant=name) as error:
        find_variants([name], table())
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_every_variant_is_found_by_its_name_and_survives_pickling(make_item):
    choice = table(make_item(options=list("abcde"), gold="A", answer_type="choice"))
    for variant in find_variants(["all"], choice):
        assert find_variant(variant.name) == variant
        assert pickle.loads(pickle.dumps(variant)) == variant


def test_families_have_names_of_their_own():
    assert len({family.family for family in FAMILIES}) == len(FAMILIES)
