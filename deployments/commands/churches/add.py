"""`churches add`: connect many churches from a file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json
from deployments.terminal import terminal


def add(
    file: Annotated[Path, Parameter(name="FILE", help="CSV with a header, or a JSON list of objects.")],
    /,
    *,
    json: Json = False,
) -> int:
    """Connect churches by the Personal Access Tokens of a file: all of them, or none if a row is wrong."""
    find_servers()
    from deployments.churches.adding import add_from_file

    return interrupts.run(add_from_file(file, terminal(as_json=json), as_json=json))
