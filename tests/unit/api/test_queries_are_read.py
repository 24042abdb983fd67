"""A meter's query: every selector is found, nothing else gets through, and what is refused has its place."""

import re
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.manifests import validate
from aibudget.api.query import Macro, Selector, read

MARK = 'cluster="c"'

METER = """apiVersion: aibudget.io/v1alpha1
kind: AIMeter
metadata: {name: images}
spec:
  unit: Images
  type: Counter
  sources:
    - name: app
      query: QUERY
"""


def narrowed(text: str) -> str:
    """The query with a mark in every selector, and macros in angle brackets."""
    written = ""
    for part in read(text).parts:
        match part:
            case str():
                written += part
            case Selector():
                written += part.narrowed(MARK)
            case Macro(name, selector, frame):
                written += f"<{name} {selector.narrowed(MARK) if selector else frame}>"
    return re.sub(r"\s+", " ", written).strip()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vllm:prompt_tokens_total", f"vllm:prompt_tokens_total{{{MARK}}}"),
        ('x{a="b",}', f'x{{a="b",{MARK}}}'),
        ('{"my.metric", "a.b"=~"c|d"}', f'{{"my.metric","a.b"=~"c|d",{MARK}}}'),
        ('{__name__=~"a|b"}', f'{{__name__=~"a|b",{MARK}}}'),
        ('x{a="}", b=\'"\', c=`\\`}', f'x{{a="}}",b=\'"\',c=`\\`,{MARK}}}'),
        ("sum by (a, b) (rate(x[5m]))", f"sum by (a, b) ( rate ( x{{{MARK}}} [5m] ) )"),
        ("SUM(x) WITHOUT (a)", f"SUM ( x{{{MARK}}} ) WITHOUT (a)"),
        ("x # a comment ) {\n + y", f"x{{{MARK}}} + y{{{MARK}}}"),
        ("x # ends at a return\r+ y", f"x{{{MARK}}} + y{{{MARK}}}"),
        (
            "-x ^ bool 2 or on (a) group_left (b) y",
            f"- x{{{MARK}}} ^ bool 2 or on (a) group_left (b) y{{{MARK}}}",
        ),
        ('label_replace(x, "a", "y{z}", "b", "(.*)")', None),
        ("topk(3, x) unless ignoring (a) y offset -5m", None),
        ("max_over_time((x > 1e-3)[1h:5m])", f"max_over_time ( ( x{{{MARK}}} > 1e-3 ) [1h:5m] )"),
        ("time() - x == Inf", f"time ( ) - x{{{MARK}}} == Inf"),
        ("increase(x[$step]) / $step", f"increase ( x{{{MARK}}} <duration [{{}}]> ) / <step {{}}>"),
        ("x offset $step", f"x{{{MARK}}} offset <duration {{}}>"),
        ('$delta(x{a="$held"}) * on (pod) y', f'<delta x{{a="$held",{MARK}}}> * on (pod) y{{{MARK}}}'),
        ("x * on (pod) group_left () $pod_workload", None),
    ],
)
def test_every_selector_is_found(query: str, expected: str | None) -> None:
    """Wherever it stands; what only looks like one, in a string or a comment, is left alone."""
    written = narrowed(query)
    assert expected is None or written == expected
    bare = len(re.findall(r"(?<![\w$\"{])(?:x|y)(?![\w(\"])", re.sub(r'"[^"]*"|#[^\r\n]*', "", query)))
    assert expected is not None or written.count(MARK) == bare


@pytest.mark.parametrize(
    ("query", "place", "words"),
    [
        ("", "line 1, column 1", "a metric, a number"),
        ("x)", "line 1, column 2", "an operator or the end"),
        ("(x", "line 1, column 3", "')' should be here"),
        ('x{a="b"} or y{', "line 1, column 15", "'}' should be here"),
        ('x{a="b"}} or y', "line 1, column 9", "an operator or the end"),
        ('x{a="b" or c="d"}', "line 1, column 9", "'}' should be here"),
        ("x{a='b}", "line 1, column 5", "is a quote or bracket open"),
        ("sum(x)\n  + {}", "line 2, column 5", "must name a metric"),
        ('{a="b"}', "line 1, column 1", "must name a metric"),
        ("x @ 5", "line 1, column 3", "remove @"),
        ("info(x)", "line 1, column 1", "join it with on"),
        ("sum", "line 1, column 4", "'(' should be here"),
        ("x or by", "line 1, column 6", '{__name__="by"}'),
        ("x[5m", "line 1, column 2", "is a quote or bracket open"),
        ("x y", "line 1, column 3", "an operator or the end"),
        ("\u017fum(x)", "line 1, column 1", "should not be here"),
        ("x\u00a0+ y", "line 1, column 2", "should not be here"),
        ("$rate(x)", "line 1, column 1", "$delta(selector)"),
        ("$delta(x[5m])", "line 1, column 9", "without a range"),
        ("$delta(x + y)", "line 1, column 10", "one selector"),
        ("$held()", "line 1, column 7", "a selector"),
        ("WITH (a = x) a", "line 1, column 9", "')' should be here"),
        ("(" * 60 + "x" + ")" * 60, "line 1, column 51", "brackets are open"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(query: str, place: str, words: str) -> None:
    """Also what some server would take: a selector that was not understood would get no matchers."""
    with pytest.raises(ValueError, match=re.escape(place)) as refused:
        read(query)
    assert words in str(refused.value)


def test_the_offline_check_names_the_field() -> None:
    """`aibudget validate` says file, line, field and place."""
    (problem,) = validate("m.yaml", METER.replace("QUERY", "sum(x")).problems
    assert str(problem).startswith("m.yaml:9: spec.sources[0].query: is PromQL that cannot be read, line 1, ")


PIECES = st.sampled_from(
    [
        *("x", "y:z", "{", "}", "(", ")", "[5m]", "[5m:]", ",", "=", "=~", "+", "-", "or", "and", "on", "by"),
        *("sum", "group_left", "offset", "bool", "$step", "$delta", "$held", "$pod_workload", "1", "rate"),
        *(
            '"a"',
            "'}'",
            "`#`",
            '"',
            "'",
            "`",
            "\\",
            "#",
            "\n",
            "\r",
            " ",
            "$",
            "a=",
            '"b"',
            '__name__="x"',
            "@",
        ),
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(printable, max_size=40))
def test_nothing_gets_past_the_reader(text: str) -> None:
    """Whatever is read: written out with marks and read again, it has the same selectors, each marked."""
    try:
        query = read(text)
    except ValueError:
        return
    written = "".join(
        part
        if isinstance(part, str)
        else part.narrowed(MARK)
        if isinstance(part, Selector)
        else {"step": "60", "duration": part.frame.format("60s")}.get(part.name, "z")
        for part in query.parts
    )
    again = [part for part in read(written).parts if isinstance(part, Selector) and part.name != "z"]
    before = [part for part in query.parts if isinstance(part, Selector) and part.name != "z"]
    assert [part.name for part in again] == [part.name for part in before]
    for part, old in zip(again, before, strict=True):
        assert "".join(part.matches[-1]) == MARK
        assert part.matches[:-1] == old.matches
