"""`aibudget sandbox` is thin: it says what there is, and how to go on when something takes too long."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from aibudget.cli.main import cli
from aibudget.cli.sandbox import in_time
from aibudget.sandbox.errors import SandboxError


def test_down_without_a_sandbox_is_no_error(tmp_path: Path) -> None:
    """Cleaning up twice is fine."""
    ran = CliRunner().invoke(cli, ["sandbox", "down", "--home", str(tmp_path / "home")])

    assert (ran.exit_code, ran.stderr) == (0, "No sandbox was running.\n")


def test_a_wait_in_vain_ends_in_a_sentence() -> None:
    """A slow laptop gets advice and no traceback."""
    with (
        pytest.raises(SandboxError, match=r"waited 9 s in vain for the moon\. A machine under load"),
        in_time(),
    ):
        raise TimeoutError("waited 9 s in vain for the moon")
