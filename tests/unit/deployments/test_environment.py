"""Which servers a command talks to."""

from pathlib import Path

import pytest

from deployments.environment import NEEDED, ServersNotFoundError, complete_environment
from embedded.services import Services


def test_what_the_environment_names_is_used_and_nothing_else_is_looked_for(tmp_path: Path) -> None:
    environment = dict.fromkeys(NEEDED, "mine")
    complete_environment(Services(tmp_path / "nothing-here"), environment)
    assert environment == dict.fromkeys(NEEDED, "mine")


@pytest.mark.parametrize("missing", NEEDED)
def test_what_is_missing_is_named_when_no_server_runs(missing: str, tmp_path: Path) -> None:
    environment = {name: "mine" for name in NEEDED if name != missing}
    with pytest.raises(ServersNotFoundError, match=f"^{missing} not set") as caught:
        complete_environment(Services(tmp_path), environment)
    assert "make up" in str(caught.value)
    assert "docs/settings.md" in str(caught.value)
    assert missing not in environment
