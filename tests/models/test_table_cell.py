"""What a cell may say: enough for rules, and nothing that keeps the engine busy or answers differently each time."""

from __future__ import annotations

import pytest

from models.table_cell import CellRefused, read_cell


@pytest.mark.parametrize(
    ("said", "reads", "numbers", "texts", "plain"),
    [
        ("> 500", set(), (500,), (), True),
        ("> -1.5", set(), (-1.5,), (), True),
        ("[1..5)", set(), (1, 5), (), True),
        ("[-3..-1]", set(), (-3, -1), (), True),
        ("$ - 3 > 2", set(), (3, 2), (), False),
        ("1e3", set(), (1000,), (), True),
        ('"a", "b"', set(), (), ("a", "b"), True),
        ("'say \"a\"'", set(), (), ('say "a"',), True),
        ("not in ['> 5']", set(), (), ("> 5",), True),
        ("> limit", {"limit"}, (), (), True),
        ('pet.species == "dog"', {"pet.species"}, (), ("dog",), True),
        ("$[0] == 1", set(), (0, 1), (), False),
        ("n > 3 ? 1 : 2", {"n"}, (3, 1, 2), (), False),
        ('some($, # in ["a"])', set(), (), ("a",), False),
        ("len ($) > 2", set(), (2,), (), False),
        ("`金额 ${amount} 元, ${name}`", {"amount", "name"}, (), (), False),
        ("`${'}`'} and more`", set(), (), ("}`",), False),
        ("`amount`", set(), (), (), False),
    ],
)
def test_a_cell_is_told_apart(
    said: str, reads: set[str], numbers: tuple[float, ...], texts: tuple[str, ...], plain: bool
) -> None:
    parts = read_cell(said)

    assert (set(parts.reads), parts.numbers, parts.texts, parts.plain) == (reads, numbers, texts, plain)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("＞500", "请把「＞」改成半角的「>」"),
        ("“狗”", '请把「“」改成半角的「"」'),
        ("狗", "「狗」等文字要放在半角引号里"),
        ('"狗', "引号没有成对"),
        ("= 5", "相等要写 =="),
        ("(1", "括号没有成对"),
        ("1)", "括号没有成对"),
        ("`a", "` 没有成对"),
        ("`${a", "没有写完"),
        ("$root.amount", "不能用「$」"),
        ("a; b", "不能用「;」"),
        ("{a: 1}", "不能用「{」"),
        ("rand(10)", "不能用函数 rand"),
        ("d() > 5", "不能用函数 d"),
        ("date('now') > 5", "不能用函数 date"),
        ("matches($, '(a+)+')", "不能用函数 matches"),
        ("$.len()", "不能用「.」"),
        ("map(skus as s, s)", "不能用 as"),
        ("map([1..999999999], #)", "不能写区间"),
        ("count((1..999999999), true)", "不能写区间"),
        ("`${map([1..999999999], #)}`", "不能写区间"),
        ("some(a, some(b, # == 1))", "不能嵌套"),
        ("[" * 31 + "]" * 31, "嵌套太深"),
        ("not " * 31 + "true", "嵌套太深"),
        ("-" * 31 + "1", "嵌套太深"),
        ("x" * 2001, "有 2001 个字,最多 2000 个"),
    ],
)
def test_what_a_cell_may_not_say_is_refused_with_the_reason(said: str, why: str) -> None:
    with pytest.raises(CellRefused) as refused:
        read_cell(said)

    assert why in str(refused.value)
