"""The walks and the client are enough to read a moving list exactly: no Prefect, no Postgres, no Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulators import SimulatorProcess

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("seed", [1, 2])
def test_everybody_who_lived_all_the_while_is_in_the_file_once(tmp_path: Path, seed: int) -> None:
    with SimulatorProcess(people=450, groups=0, seed=seed) as world:
        before = {one["id"] for one in world.state("people.Person")}
        world.churn(
            [
                {
                    "operation": operation,
                    "entity": "people.Person",
                    "place": 97 * number % 300,
                    "attributes": {"name": f"Changed {number}"},
                    "after_request": number % 5 + 1,
                }
                for number, operation in enumerate(["delete", "create", "delete", "edit"] * 6)
            ]
        )
        keys = {"PCO_SYNC_APPLICATION_ID": world.app_id, "PCO_SYNC_SECRET": world.secret}
        target = tmp_path / "people.jsonl"
        done = subprocess.run(
            [sys.executable, "examples/read_exactly.py", "people.Person", str(target), world.base_url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": ".", **keys},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert world.stats()["churn_waiting"] == 0
        after = {one["id"] for one in world.state("people.Person")}
    read = [json.loads(line)["id"] for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(read) == len(set(read))
    assert before & after <= set(read) <= before | after


def test_the_walks_need_neither_prefect_nor_a_database() -> None:
    loaded = (
        "import sys, pco_walks.part_walks, pco_walks.explanations, pco_walks.ways, pco_walks.hidden, pco_walks.alike"
    )
    shown = "print(sorted({'prefect', 'sqlalchemy', 'sqlmodel', 'asyncpg'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{loaded}; {shown}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
