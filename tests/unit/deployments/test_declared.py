"""What prefect.yaml declares is what `make deploy` and `make worker` use and report."""

from pathlib import Path

import pytest
import yaml

from deployments.provisioning.declared import DeclarationError, declared_deployments, declared_pool
from deployments.provisioning.names import DEPLOYMENTS, WORK_POOL
from flows.parameters import NIGHTLY_REQUESTS
from tasks.request_plan import DELTA_MINUTES

ONE = "{name: nightly, entrypoint: 'flows/sync_entity.py:sync_entity', work_pool: {name: %s}}"


def test_the_file_that_is_shipped_declares_our_names() -> None:
    assert {pool: sorted(found) for pool, found in declared_deployments().items()} == {WORK_POOL: sorted(DEPLOYMENTS)}
    assert declared_pool() == WORK_POOL


def test_plan_counts_on_the_schedules_of_the_file_that_is_shipped() -> None:
    file = yaml.safe_load(Path("prefect.yaml").read_text(encoding="utf-8"))
    declared = next(one for one in file["deployments"] if one["name"] == "sync-all-churches")
    schedules = {one["slug"]: one for one in declared["schedules"]}
    assert schedules["deltas"]["interval"] == 60 * DELTA_MINUTES
    assert schedules["nightly"]["parameters"]["budget"] == NIGHTLY_REQUESTS


def test_a_renamed_pool_is_known_by_its_new_name(tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(f"deployments: [{ONE % 'church-pool'}, {ONE % 'other'}]")
    assert declared_deployments(file) == {"church-pool": ["sync-entity/nightly"], "other": ["sync-entity/nightly"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments: [{name: x", "is not YAML"),
        ("", "each deployment needs"),
        ("deployments: []", "declares no deployment"),
        ("deployments: [{name: x, entrypoint: 'f.py:f'}]", "each deployment needs an entrypoint"),
        ("just words", "each deployment needs"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_line(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(text)
    with pytest.raises(DeclarationError, match=told) as caught:
        declared_deployments(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(DeclarationError, match="cannot be read"):
        declared_deployments(tmp_path / "none.yaml")
