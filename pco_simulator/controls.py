"""What a test can do to a church of a simulator that runs in another process."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx


class Church:
    """Whom the church lets in, and where.

    The methods talk to its control paths, and raise `ValueError` with its words when it does not understand.
    """

    def __init__(self, *, app_id: str, secret: str, base_url: str = "", http: httpx.Client | None = None) -> None:
        self.app_id = app_id
        self.secret = secret
        self.base_url = base_url
        self._http = http

    def access_log(self) -> list[dict[str, Any]]:
        """Every request of the API since the start or `reset_log` (`Access` in `access_log.py`)."""
        log: list[dict[str, Any]] = self._ask("GET", "access_log")
        return log

    def stats(self) -> dict[str, Any]:
        """`requests`, `refused` (429s), `max_in_window`, `by_status`, `faults_fired` and more."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    def counts(self) -> dict[str, int]:
        """How many records of every entity there are now."""
        counts: dict[str, int] = self._ask("GET", "counts")
        return counts

    def state(self, entity_name: str) -> list[dict[str, Any]]:
        """Every record of an entity as it is now, in the order of the ids."""
        state: list[dict[str, Any]] = self._ask("GET", f"state/{entity_name.replace('.', '/')}")
        return state

    def faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Replace the faults in force (`Fault` in `faults.py`)."""
        self._ask("POST", "faults", faults)

    def churn(self, changes: Sequence[Mapping[str, Any]]) -> list[int]:
        """Change the world (`Change` in `churn.py`); the ids of the records that were changed at once."""
        ids: list[int] = self._ask("POST", "churn", changes)["ids"]
        return ids

    def rate_limit(self, **rules: Any) -> None:
        """Change some of `limit` (None: no limit), `period`, `deep_limit`, `window`, `count_refused`.

        With `after_request` the `limit` drops after so many requests.
        """
        self._ask("POST", "rate_limit", rules)

    def latency(self, ms: float) -> None:
        """Change the mean latency."""
        self._ask("POST", "latency", {"ms": ms})

    def ignore(self, names: Sequence[str]) -> None:
        """Let these attributes not be filtered or ordered by any more, and no others; the answers still name them."""
        self._ask("POST", "ignore", names)

    def cap(self, records: int | None, *, counts_only: bool = False) -> None:
        """Let no list count more records than that, nor show them unless it is about the counts only."""
        self._ask("POST", "cap", {"records": records, "counts_only": counts_only})

    def clock(self, *, ahead_seconds: float) -> None:
        """Let PCO's clock be ahead of this machine's, or behind it."""
        self._ask("POST", "clock", {"seconds": ahead_seconds})

    def forbid(self, products: Sequence[str]) -> None:
        """Let these products answer 403, and no others."""
        self._ask("POST", "forbid", products)

    def oauth(self, **switches: Any) -> dict[str, Any]:
        """Change what the OAuth provider does (`Provider.change`); its `requests` and how many pairs are `alive`."""
        told: dict[str, Any] = self._ask("POST", "oauth", switches)
        return told

    def reset_log(self) -> None:
        """Empty the access log and the rate windows: the next request is number 1."""
        self._ask("POST", "reset_log")

    def _ask(self, method: str, path: str, told: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        assert self._http is not None
        answer = self._http.request(method, f"of/{self.app_id}/{path}", json=told)
        if answer.status_code != httpx.codes.OK:
            raise ValueError(answer.json()["error"])
        return answer.json()
