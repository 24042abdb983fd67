"""What `aibudget validate` refuses, and in which words."""

import pytest

from aibudget.api.manifests import validate
from unit.api.bad_manifests import BAD, Bad


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.case)
def test_each_bad_manifest_is_refused_by_name_of_its_field(bad: Bad) -> None:
    """Offline, every entry of the table is refused with a message that names the field and its line."""
    report = validate("bad.yaml", bad.manifest)
    messages = [str(problem) for problem in report.problems]
    assert report.checked == 1
    assert any(bad.field in message for message in messages), messages
    assert all(1 <= problem.line <= len(bad.manifest.splitlines()) for problem in report.problems)


def test_the_table_has_a_case_once() -> None:
    """Names of cases are unique, and there are enough of them."""
    assert len({bad.case for bad in BAD}) == len(BAD) >= 40
