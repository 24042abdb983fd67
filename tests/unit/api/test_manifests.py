"""How files are read: many documents, foreign objects, broken YAML, and the line of each fault."""

from pathlib import Path

import pytest
import yaml

from aibudget.api.budget import AIBudget
from aibudget.api.kinds import parse
from aibudget.api.manifests import Problem, validate
from aibudget.errors import InvalidManifest

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))
HEAD = "apiVersion: aibudget.io/v1alpha1\nkind: AIBudget\nmetadata: {name: a}\n"
GOOD = HEAD + "spec: {limit: {amount: 1, currency: USD}}\n"


def only(content: str | bytes) -> Problem:
    """The one problem of this file."""
    (problem,) = validate("f.yaml", content).problems
    return problem


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    """The examples that we show pass our own check."""
    report = validate(path.name, path.read_bytes())
    assert report.problems == []
    assert report.checked > 0


def test_a_fault_has_its_line() -> None:
    """The line is that of the field, in the second document as in the first."""
    text = GOOD + "---\n" + HEAD + "spec:\n  limit:\n    amount: 1\n    currency: usd\n"
    problem = only(text)
    assert (problem.file, problem.line, problem.path) == ("f.yaml", 12, "spec.limit.currency")
    assert str(problem).startswith("f.yaml:12: spec.limit.currency: ")


def test_a_missing_field_has_the_line_of_what_should_hold_it() -> None:
    """There is no line for what is not there; its parent's is the place to write it."""
    problem = only(HEAD + "spec:\n  limit: {currency: USD}\n")
    assert (problem.line, problem.path, problem.reason) == (5, "spec.limit.amount", "is required")


def test_a_key_written_twice_is_found_although_yaml_allows_it() -> None:
    """The second value would win silently."""
    problem = only(HEAD + "spec:\n  limit: {amount: 1, currency: USD}\n  limit: {amount: 2, currency: USD}\n")
    assert (problem.line, problem.path) == (6, "spec.limit")
    assert "twice" in problem.reason


def test_objects_of_other_groups_are_counted_and_left_alone() -> None:
    """A GitOps repository mixes them with ours."""
    report = validate(
        "f.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: {a: 1}\n---\n" + GOOD + "---\n# nothing\n"
    )
    assert (report.problems, report.checked, report.foreign) == ([], 1, 1)


def test_a_list_is_opened() -> None:
    """`kubectl get -o yaml` writes a List; a fault in it has its index."""
    item = (
        "  - " + HEAD.replace("\n", "\n    ").rstrip() + "\n    spec: {limit: {amount: 0, currency: USD}}\n"
    )
    problem = only("apiVersion: v1\nkind: List\nitems:\n" + item)
    assert (problem.line, problem.path) == (7, "items[0].spec.limit.amount")


def test_one_broken_object_does_not_hide_the_others() -> None:
    """Every fault of a file is told at once."""
    bad = HEAD + "spec: {limit: {amount: 0, currency: usd}}\n"
    report = validate("f.yaml", "---\n".join([bad, GOOD, bad]))
    assert [problem.line for problem in report.problems] == [4, 4, 14, 14]
    assert report.checked == 3


@pytest.mark.parametrize(
    ("content", "path", "said"),
    [
        ("", "", "no object"),
        ("# only a comment\n---\n", "", "no object"),
        ("- a\n- b\n", "", "not an object"),
        ("hello", "", "not an object"),
        ("kind: AIBudget\n", "apiVersion", "aibudget.io/v1alpha1"),
        ("apiVersion: aibudget.io/v1alpha1\n", "kind", "required"),
        (GOOD.replace("v1alpha1", "v1"), "apiVersion", "aibudget.io/v1alpha1"),
        (GOOD.replace("kind: AIBudget", "kind: Budget"), "kind", "ClusterAIBudget"),
        (GOOD.replace("kind: AIBudget", "kind: [a]"), "kind", "AIBudget"),
        (GOOD.replace("name: a", "nmae: a"), "metadata.nmae", "unknown field"),
        (GOOD.replace("name: a", "name: A_b"), "metadata.name", "A_b"),
        (GOOD.replace("name: a", "name: a, labels: {a: 1}"), "metadata.labels.a", "string"),
        (GOOD.replace("amount: 1", "amount: .inf"), "spec.limit.amount", "quoted decimal"),
        (GOOD.replace("amount: 1", "amount: .nan"), "spec.limit.amount", "quoted decimal"),
        (GOOD + "extra: 1\n", "extra", "unknown field"),
        ("a: [1, 2\nb: 3\n", "", "not YAML"),
        ("\ta: 1\n", "", "not YAML"),
        ("a: !!python/object:os.system x\n", "", "not YAML"),
        (b"a: \xff\xfe\n", "", "not YAML"),
        ("? [a]\n: 1\n", "", "not YAML"),
        ("[" * 1000, "", "nested"),
    ],
)
def test_what_cannot_be_a_manifest_is_told_in_a_sentence(content: str | bytes, path: str, said: str) -> None:
    """Nothing of this raises; each gives the place and a word that helps."""
    problems = validate("f.yaml", content).problems
    assert any(problem.path == path and said in problem.reason for problem in problems), problems


def test_whole_numbers_are_integers_however_written() -> None:
    """As the API server stores them: 500.0 is 500."""
    assert validate("f.yaml", GOOD.replace("amount: 1", "amount: 500.0")).problems == []


def test_aliases_within_aliases_do_not_explode() -> None:
    """Nine levels of nine aliases are read in no time."""
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    report = validate("f.yaml", GOOD + "status:\n  " + "\n  ".join(levels) + "\n")
    assert report.checked == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_models_round_trip(path: Path) -> None:
    """What a model writes, the same model reads to the same value."""
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        model = parse(document)
        assert parse(model.model_dump(mode="json", by_alias=True, exclude_none=True)) == model


def test_snake_case_is_not_a_second_spelling() -> None:
    """Python's names for the fields are no part of the API."""
    with pytest.raises(InvalidManifest, match=r"spec\.enforcement\.grace_period_seconds: unknown field"):
        parse(
            {
                "apiVersion": "aibudget.io/v1alpha1",
                "kind": "AIBudget",
                "metadata": {"name": "a"},
                "spec": {
                    "limit": {"amount": 1, "currency": "USD"},
                    "enforcement": {"grace_period_seconds": 1},
                },
            }
        )


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("limit: {amount: 1, currency: usd}", "'usd' does not fit: write three capital letters, such as USD"),
        (
            'limit: {amount: 1, currency: USD}, notify: [{name: "Our Slack"}]',
            "'Our Slack' does not fit: write lower-case letters, digits and \"-\", such as gpu-hours",
        ),
        ("limit: {amount: 1, currency: USD}, thresholds: []", "must have 1 entry or more, where it is given"),
        ("limit: {amount: 1, currency: USD}, holdbackPercent: 0", "must be greater than or equal to 1"),
    ],
)
def test_a_fault_says_what_to_write(spec: str, reason: str) -> None:
    """Nobody should have to read a pattern, or the words of a library."""
    assert only(HEAD + f"spec: {{{spec}}}\n").reason == reason


def test_which_fields_were_given_is_there_once() -> None:
    """Thousands of budgets are kept, and most are written alike; a copy has its own."""
    one, other = (parse(yaml.safe_load(GOOD.replace("name: a", f"name: {name}"))) for name in "ab")
    assert one.metadata.model_fields_set is other.metadata.model_fields_set
    assert isinstance(one, AIBudget)
    changed = one.spec.model_copy(update={"mode": "Enforce"})
    assert changed.model_fields_set == {"limit", "mode"}
    assert one.spec.model_fields_set == {"limit"}
