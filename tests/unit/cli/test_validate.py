"""`aibudget validate` says where every fault is, and its exit code is an answer."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aibudget.cli.main import cli

GOOD = """\
apiVersion: aibudget.io/v1alpha1
kind: AIBudget
metadata: {name: chat, namespace: team-nlp}
spec:
  limit: {amount: 5000, currency: USD}
"""
BAD = GOOD.replace("5000", "50.5").replace("currency", "curency")
FOREIGN = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Manifests as a repository keeps them: nested, mixed with others."""
    (tmp_path / "teams").mkdir()
    (tmp_path / "good.yaml").write_text(f"{GOOD}---\n{FOREIGN}")
    (tmp_path / "teams" / "bad.yml").write_text(BAD)
    (tmp_path / "README.md").write_text("not YAML: [")
    return tmp_path


def test_a_valid_file_is_silent_on_stdout(folder: Path) -> None:
    """Nothing to mend is nothing to read."""
    ran = CliRunner().invoke(cli, ["validate", str(folder / "good.yaml")])

    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr == "objects checked: 1, problems: 0\n"


def test_a_directory_is_searched_and_faults_carry_file_line_and_path(folder: Path) -> None:
    """The shape that editors and CI jump to."""
    ran = CliRunner().invoke(cli, ["validate", str(folder)])

    bad = folder / "teams" / "bad.yml"
    assert ran.exit_code == 1
    assert f"{bad}:5: spec.limit.amount: must be an integer or a quoted decimal" in ran.stdout
    assert f"{bad}:5: spec.limit.curency: unknown field" in ran.stdout


def test_standard_input_is_a_dash() -> None:
    """`helm template … | aibudget validate -`."""
    ran = CliRunner().invoke(cli, ["validate", "-"], input=BAD)

    assert ran.exit_code == 1
    assert ran.stdout.startswith("<stdin>:5: ")


def test_json_says_the_same_for_machines() -> None:
    """One document, also when nothing is wrong."""
    good = CliRunner().invoke(cli, ["validate", "-o", "json", "-"], input=GOOD)
    bad = CliRunner().invoke(cli, ["validate", "-o", "json", "-"], input=BAD)

    assert json.loads(good.stdout) == {"valid": True, "checked": 1, "problems": []}
    assert bad.exit_code == 1
    assert {problem["path"] for problem in json.loads(bad.stdout)["problems"]} >= {"spec.limit.amount"}


@pytest.mark.parametrize("name", ["nowhere.yaml", "empty"])
def test_nothing_to_check_is_an_error_and_not_a_success(tmp_path: Path, name: str) -> None:
    """A typing error in a pipeline must not look like valid manifests."""
    (tmp_path / "empty").mkdir()
    ran = CliRunner().invoke(cli, ["validate", str(tmp_path / name)])

    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: ")
    assert name in ran.stderr


def test_what_cannot_be_read_does_not_hide_the_faults_of_the_rest(folder: Path) -> None:
    """Everything that is known is said, and the exit code still tells that something was not looked at."""
    bad = folder / "teams" / "bad.yml"
    ran = CliRunner().invoke(cli, ["validate", str(folder / "nowhere.yaml"), str(bad)])

    assert ran.exit_code == 2
    assert f"{bad}:5: spec.limit.curency: unknown field" in ran.stdout
    assert "nowhere.yaml" in ran.stderr
