"""The program as a whole: what it is called, what it imports, what its exit codes mean."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aibudget.cli import main
from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.errors import Transient

ROOT = Path(__file__).parents[3]
HEAVY = {"kopf", "sqlalchemy", "kubernetes", "aiohttp", "prometheus_api_client", "requests"}


@pytest.mark.parametrize(
    ("executable", "name"),
    [
        ("/usr/local/bin/aibudget", "aibudget"),
        ("/opt/venv/bin/kubectl-aibudget", "kubectl aibudget"),
        ("/src/aibudget/__main__.py", "aibudget"),
    ],
)
def test_it_is_called_as_the_user_called_it(executable: str, name: str) -> None:
    """kubectl's users never type the file's name."""
    assert main.program_name(executable) == name


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "docs/examples"], ["crds"]])
def test_offline_commands_wait_for_no_library_of_the_operator(arguments: list[str]) -> None:
    """A pre-commit hook runs `validate` on each commit."""
    program = (
        f"import sys; sys.argv[1:] = {arguments!r}\n"
        "from aibudget.cli.main import main\n"
        "try: main()\n"
        f"finally: print('imported:', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "imported:"


@pytest.mark.parametrize("name", sorted(main.SUMMARIES))
def test_the_help_line_of_a_command_is_the_beginning_of_its_help(name: str) -> None:
    """The list in `--help` is written by hand, so that nothing is imported for it."""
    command = main.cli.get_command(click.Context(main.cli), name)

    assert command is not None
    assert command.name == name
    assert (command.help or "").replace("\n", " ").startswith(main.SUMMARIES[name].rstrip("."))


def test_an_unknown_command_is_told_by_name() -> None:
    """A typing error is a usage error."""
    ran = CliRunner().invoke(main.cli, ["statsu"])

    assert ran.exit_code == 2
    assert "statsu" in ran.stderr


def test_our_errors_end_as_one_sentence_with_exit_code_2() -> None:
    """Users see no traceback for what they can mend."""

    @click.group(cls=main.Commands)
    def program() -> None:
        """A program like ours."""

    @program.command()
    def fail() -> None:
        """Meet an outage."""
        raise Transient("Down", "The API server did not answer; try again.")

    program.get_command = lambda ctx, cmd_name: fail  # type: ignore[method-assign]
    ran = CliRunner().invoke(program, ["fail"])

    assert (ran.exit_code, ran.stderr) == (2, "error: The API server did not answer; try again.\n")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["-n", "a"], [], Connection(namespace="a")),
        ([], ["-n", "a", "--context", "c"], Connection(namespace="a", context="c")),
        (["-n", "a", "--kubeconfig", "k"], ["-n", "b"], Connection(namespace="b", kubeconfig="k")),
        (["-A"], [], Connection(all_namespaces=True)),
    ],
)
def test_kubectl_s_flags_may_stand_before_or_after_the_command(
    monkeypatch: pytest.MonkeyPatch, before: list[str], after: list[str], expected: Connection
) -> None:
    """kubectl refuses flags before a plugin's name, so the plugin takes them everywhere after it."""
    seen: list[Connection] = []

    @click.command()
    @namespace_options
    @connection_options
    def status(connection: Connection) -> None:
        seen.append(connection)

    monkeypatch.setattr(main.Commands, "get_command", lambda *_: status)
    ran = CliRunner().invoke(main.cli, [*before, "status", *after])

    assert ran.exit_code == 0, ran.output
    assert seen == [expected]


def test_without_flags_the_namespace_is_that_of_the_context(tmp_path: Path) -> None:
    """As kubectl: the current context's, another context's by name, `default` where none says one."""
    config = tmp_path / "config"
    config.write_text(
        """\
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team-nlp}}
- {name: two, context: {cluster: c, user: u}}
"""
    )

    assert Connection(kubeconfig=str(config)).scope() == "team-nlp"
    assert Connection(kubeconfig=str(config), context="two").scope() == "default"
    assert Connection(kubeconfig=str(config), all_namespaces=True).scope() is None


def test_without_a_cluster_the_way_out_is_told(tmp_path: Path) -> None:
    """No kubeconfig is the first thing that a newcomer meets."""
    ran = CliRunner().invoke(main.cli, ["status", "--kubeconfig", str(tmp_path / "none")])

    assert ran.exit_code == 2
    assert ran.stderr.splitlines()[-1].startswith("error: No cluster to talk to")
    assert "--kubeconfig" in ran.stderr
