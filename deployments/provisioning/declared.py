"""What prefect.yaml declares: the deployments, and the work pools that they run on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]


class DeclarationError(Exception):
    """prefect.yaml cannot be read, or a deployment in it has no work pool; the message says which."""


def declared_deployments(file: Path = PROJECT / "prefect.yaml") -> Mapping[str, Sequence[str]]:
    """The deployments of each work pool, as `flow/deployment`, in the file's order. Raises `DeclarationError`."""
    pools: dict[str, list[str]] = {}
    try:
        deployments: Any = (yaml.safe_load(file.read_text(encoding="utf-8")) or {})["deployments"]
        for one in deployments:
            flow = one["entrypoint"].rpartition(":")[2].replace("_", "-")
            pools.setdefault(one["work_pool"]["name"], []).append(f"{flow}/{one['name']}")
    except OSError as error:
        raise DeclarationError(f"{file} cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise DeclarationError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, AttributeError):
        raise DeclarationError(
            f"{file}: each deployment needs an entrypoint, a name, and a work_pool with a name"
        ) from None
    if not pools:
        raise DeclarationError(f"{file} declares no deployment")
    return pools


def declared_pool() -> str:
    """The work pool of our workers: the one of the first deployment. Raises `DeclarationError`."""
    return next(iter(declared_deployments()))
