"""How the provider behaves, and what goes wrong with requests for tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from pco_simulator.answering.answers import Delivery
from pco_simulator.oauth.tokens import Rotation

REDIRECTS: Final = tuple(f"http://127.0.0.1:{port}/callback" for port in (8127, 8128, 8129))
"""What is registered with the application."""
TROUBLES: Final[Mapping[str, tuple[bool, Delivery, int]]] = {
    "lost": (True, "reset", 200),
    "held": (True, "hang", 200),
    "hang": (False, "hang", 200),
    "503": (False, "whole", 503),
}
"""What can happen to a request for tokens: whether it is served, what becomes of the answer, and its status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manners:
    """`withheld` scopes are not granted although they were requested; `without` are products that the user has lost.

    `trouble` meets the next `times` requests for tokens, of `church` only if it is named (an organization's id).
    """

    rotation: Rotation = "on-use"
    access_seconds: float = 7200.0
    lag: int = 0
    withheld: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    trouble: str = ""
    times: int = 1
    church: str = ""
    redirects: tuple[str, ...] = REDIRECTS

    def __post_init__(self) -> None:
        if self.rotation not in get_args(Rotation):
            raise ValueError(f"unknown rotation {self.rotation!r}; known: {', '.join(get_args(Rotation))}")
        if self.trouble and self.trouble not in TROUBLES:
            raise ValueError(f"unknown trouble {self.trouble!r}; known: {', '.join(TROUBLES)}")
