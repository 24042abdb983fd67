"""What goes into the text of queries."""

import pytest

from aibudget.errors import Stalled
from aibudget.metering.promql import CLAIMABLE, CLAIMED, LEADER, Matcher, matchers, one_of
from aibudget.metering.scene import MeterSettings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ('cluster="a"', (Matcher("cluster", "=", "a"),)),
        (' cluster = "a" , env=~"p|q",', (Matcher("cluster", "=", "a"), Matcher("env", "=~", "p|q"))),
        (r'a="say \"hi\" \\ \n"', (Matcher("a", "=", 'say "hi" \\ \n'),)),
    ],
)
def test_matchers_are_read_as_prometheus_does(text: str, found: tuple[Matcher, ...]) -> None:
    """And written back the same."""
    assert matchers(text) == found
    assert matchers(",".join(map(str, found))) == found


@pytest.mark.parametrize(
    "text", ["cluster", "cluster=a", 'a="b" c="d"', '="x"', 'a="b"}', '1a="b"', 'a=="b"']
)
def test_anything_else_is_refused(text: str) -> None:
    """Nothing but matchers gets into a selector."""
    with pytest.raises(Stalled, match="no label matchers"):
        matchers(text)


def test_values_cannot_leave_their_quotes() -> None:
    """A value with quotes and braces stays a value."""
    assert str(Matcher("a", "=", 'x"} or {b="')) == r'a="x\"} or {b=\""'
    assert str(one_of("replicaset", ["b.c", "a"])) == r'replicaset=~"a|b\\.c"'


def test_every_selector_carries_the_cluster() -> None:
    """No part of any query looks at another cluster."""
    queries = MeterSettings(cluster=matchers('cluster="c"')).queries
    for promql in (
        queries.survey(900),
        queries.coverage(31500),
        queries.held(31500, 30),
        queries.capacity(31500),
        queries.capacity(31500, claimable=True),
        queries.phaseless(31500),
        queries.nodes(["label_a"], 31500, 30, 0),
        queries.pod_owners({("team", "web-1-x")}, 900),
        queries.pod_owners({("team", str(n)) for n in range(2000)}, 900),
        queries.owners({"Job": ["j"], "ReplicaSet": ["r"]}, 900),
        queries.utilisation(60000),
        queries.namespace_labels("label_team", 900),
        queries.pod_labels(("label_a",), [Matcher("label_a", "!=", ""), Matcher("label_b", "=", "c")], 900),
        queries.scrapes_of(Matcher("node", "=", "n"), 1200),
    ):
        assert promql.count("{") == promql.count('cluster="c"')
        # Utilisation of AMD's and Google's devices, and our own metrics, are known by their names alone.
        alone = ("gpu_gfx_activity", "duty_cycle", CLAIMABLE, CLAIMED, LEADER)
        named = sum(promql.count(f"{name}{{") for name in alone)
        assert promql.count("{") == promql.count("job=") + named


def test_many_pods_are_asked_by_namespace() -> None:
    """A few are asked for by name, whether the scrape honors labels or not."""
    queries = MeterSettings().queries
    assert 'pod=~"a|b"' in (few := queries.pod_owners({("team", "a"), ("team", "b")}, 900))
    assert 'exported_pod=~"a|b"' in few
    many = queries.pod_owners({("team", f"p{n}") for n in range(2000)}, 900)
    assert 'namespace=~"team"' in many
    assert "p1999" not in many
