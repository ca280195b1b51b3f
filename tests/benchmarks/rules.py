"""Decision tables: evaluations a second; and rules tried on 100,000 orders of the past.

`evaluations_per_second`: orders routed a second by one process with the approval matrix that a new installation starts
with (`Matrix.route`: the table's rows, then roles, reasons and times). `…_by_table` adds a matrix of a hundred rows and
the choice of a recipe (`models.recipe.choose`, with the rule about allergens). The orders are those of the try-out.

Rival: the same model, asked by the engine's own walk (`zen.ZenEngine().create_decision(…).evaluate`), which is how
`zen-engine` is used by most. It is spared what it does not do: a cell that cannot be evaluated passes there in silence.
`ratio_to_engine` is the median of pairs taken in turn.

`tryout_100k_seconds`: `tasks.trying.try_rules` from the call to the result kept with the version, on 100,000 orders of
30 days with their rulings, PostgreSQL with every setting of production (fsync on), as many processes as there are
cores. Each kind of rules is tried by a version that changes things: a form with a new question, recipes of which one is
gone and one dearer, a matrix with a lower sum. The figure is the slowest of the three; `…_by_kind` has all of them.

Against: the same try-out of the form in one process. `ratio_to_one_process` is seconds with all cores ÷ with one, the
median of pairs on the orders of the last six days.

    python -m tests.benchmarks.rules [--quick] --json FILE
"""

from __future__ import annotations

import asyncio
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psutil
import zen
from sqlalchemy import create_engine, text
from sqlmodel import Session

from models.database import engine_for, utcnow
from models.matrix import Matrix
from models.order_form import OrderForm
from models.recipe import NoRecipe, RecipeBook, choose, pet_of
from models.rule_version import RuleKind
from tasks.trying import Tryout, try_rules
from tests.benchmarks.pairs import ratio_of_pairs
from tests.benchmarks.report import Options, run, say
from tests.database import fresh_database, temporary_server
from tests.house import living_in
from tests.past_orders import TODAY, a_draft, place_past, starter_bodies, stricter_matrix, table_in, variants

ORDERS, DAYS = 100_000, 30
OF_PAIRS = ORDERS // 5  # at least, in a fifth of the days
LARGE = 100  # rows


def measure(options: Options) -> dict[str, Any]:
    """The figures of FIGURES.md, `rules`."""
    return {**evaluations(7 if options.quick else 25), **try_outs(3 if options.quick else 7)}


def evaluations(pairs: int) -> dict[str, Any]:
    """Evaluations a second of each table, and the ratio to the engine's own walk."""
    bodies, facts = starter_bodies(), [variant.facts for variant in variants()]
    book, form = RecipeBook(bodies["recipes"]), OrderForm(bodies["form"])
    pets = [pet_of(form.check(said).values) for variant in variants() for said in variant.answers]
    rates: dict[str, float] = {}
    ratios: dict[str, Any] = {}
    for name, body in (("matrix", bodies["matrix"]), (f"matrix of {LARGE} rows", large_matrix())):
        matrix, decision = Matrix(body), zen.ZenEngine().create_decision(body["approval"])
        ours, theirs = [], []
        for number in range(pairs + 1):
            say(f"{name}: pair {number} of {pairs}")
            rate, rival = per_second(matrix.route, facts), per_second(decision.evaluate, facts)
            if number:  # the first pair warms up
                ours.append(rate)
                theirs.append(rival)
        rates[name] = statistics.median(ours)
        ratios[name] = ratio_of_pairs(ours, theirs)
    chosen = [per_second(lambda pet: _chosen(pet, book), pets) for _ in range(pairs)]
    rates["choice of a recipe"] = statistics.median(chosen)
    return {
        "evaluations_per_second": round(rates["matrix"]),
        "evaluations_per_second_by_table": {name: round(rate) for name, rate in rates.items()},
        "ratio_to_engine": ratios["matrix"]["median"],
        "ratio_to_engine_by_table": ratios,
    }


def per_second(ask: Callable[[Any], object], asked: Sequence[Any], seconds: float = 1.0) -> float:
    """How many of these are answered a second, asked again and again for `seconds`."""
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for each in asked[:100]:
            ask(each)
        count += len(asked[:100])
    return count / spent


def _chosen(pet: Any, book: RecipeBook) -> object:
    try:
        return choose(pet, book, TODAY)
    except NoRecipe as none:
        return none


def large_matrix() -> dict[str, Any]:
    """A matrix of a hundred rows, each with its own sum and province, as sellers with many shops have them."""
    body = copy.deepcopy(starter_bodies()["matrix"])
    table = table_in(body["approval"])
    table["inputs"].append({"id": "province", "name": "省份", "field": "province"})
    [row] = [row for row in table["rules"] if row["_id"] == "amount"]
    table["rules"] += [
        {**row, "_id": f"row-{number}", "amount": f"> {500 + number * 10}", "province": f'"省{number}"'}
        for number in range(LARGE - len(table["rules"]))
    ]
    return body


def try_outs(pairs: int) -> dict[str, Any]:
    """Seconds of trying each kind of rules on 100,000 orders, and what the second core is worth."""
    seconds: dict[str, float] = {}
    all_cores: list[float] = []
    one: list[float] = []
    cores = psutil.cpu_count() or 1
    with past_orders():
        drafts = {kind: a_draft(kind, body) for kind, body in changed_rules().items()}
        for kind, number in drafts.items():
            tryout = _tried(kind, number, DAYS, cores)
            assert (tryout.tally.orders, tryout.tally.ruled) == (ORDERS, ORDERS)
            assert 0 < tryout.tally.changed < ORDERS
            seconds[kind.value] = round(tryout.seconds, 1)
            say(f"{kind.value}: {tryout.seconds:.1f} s, {tryout.tally.changed} orders change")
        for pair in range(pairs):
            say(f"form, all cores and one: pair {pair + 1} of {pairs}")
            for processes, into in ((cores, all_cores), (1, one))[:: 1 if pair % 2 else -1]:
                tryout = _tried(RuleKind.FORM, drafts[RuleKind.FORM], DAYS // 5, processes)
                assert tryout.tally.orders > OF_PAIRS
                into.append(tryout.seconds)
    return {
        "tryout_100k_seconds": max(seconds.values()),
        "tryout_100k_seconds_by_kind": seconds,
        "ratio_to_one_process": ratio_of_pairs(all_cores, one),
    }


def _tried(kind: RuleKind, number: int, days: int, processes: int) -> Tryout:
    return asyncio.run(try_rules(kind, number, days, "benchmark", processes=processes))


def changed_rules() -> dict[RuleKind, dict[str, Any]]:
    """A version of each kind that changes something for many orders, and nothing for others."""
    bodies = starter_bodies()
    form, recipes = copy.deepcopy(bodies["form"]), copy.deepcopy(bodies["recipes"])
    form["schema"]["required"].append("meals")
    form["schema"]["properties"]["meals"] = {"title": "每天几餐", "type": "integer", "x-order": 11}
    choice = table_in(recipes["choice"])
    choice["rules"] = [row for row in choice["rules"] if not row["_id"].startswith("CAT-CHICKEN")]
    [beef] = [recipe for recipe in recipes["recipes"] if recipe["code"] == "DOG-BEEF-WET"]
    beef["grams_per_kg"] |= {"ING-BEEF": 640, "ING-POTATO": 200}
    return {RuleKind.FORM: form, RuleKind.RECIPES: recipes, RuleKind.MATRIX: stricter_matrix()}


@contextmanager
def past_orders() -> Iterator[None]:
    """A database with the orders of the past; the settings of this process point at it."""
    with temporary_server(fsync=True) as server, fresh_database(server) as url:
        say(f"writing {ORDERS} orders of the past")
        engine = create_engine(url)
        with Session(engine) as session:
            # an hour ago, so that none leaves the thirty days while the first kinds are tried
            place_past(session, ORDERS, utcnow() + timedelta(hours=-1), DAYS - 1)
            session.commit()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
        with living_in({"ORDERLOOM_DATABASE_URL": url}):
            yield
        engine_for(url).dispose()


if __name__ == "__main__":
    run("rules", measure)
