"""What a comparison has shown, and the one word for it. Pure.

The flow's state, its artifact, the row in `sync.proofs`, the terminal's table and the exit code are all made of a
`Proof`, and a verdict is never stronger than its evidence. docs/verdicts.md explains each of them to users.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pco_store.ledger.proving.proofs import OpenQuarantine
from tasks.reports.counted import counted
from tasks.verification.comparison import Difference

Method = Literal["count", "sample", "full"]
Verdict = Literal["Exact", "ExactAsOf", "SampleAgrees", "CountsAgree", "Different", "Incomplete", "Unknown"]

MOST_SHOWN: Final = 100
"""Ids that a proof keeps of each kind of difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What was seen. It holds ids, times and numbers, and no values.

    `pco_count`: what Planning Center counts; None where it does not say. `surplus`: how many more it counts than the
    mirror, newer ones left out, in all and in halves of the list. `doubt`: why what was seen proves nothing.
    `owners`: of a kind that has no list of its own, the owners whose lists were compared, of `known_owners`; None for
    a list. `listed`: records that the pages showed; `same`: those with the same content; `newer`: changed meanwhile,
    `added` of them without a row; `hidden`: not listed, but shown by their id.
    `quarantined`: open items of this entity, or what was one when it was listed, and had no row; the larger number.
    `unstorable`: listed records without a usable identity.
    """

    method: Method
    as_of: datetime
    mirror_count: int
    pco_count: int | None
    surplus: tuple[int, ...] = (0,)
    doubt: str = ""
    pages: int = 0
    owners: int | None = None
    known_owners: int = 0
    listed: int = 0
    same: int = 0
    newer: int = 0
    added: int = 0
    hidden: int = 0
    quarantined: int = 0
    unstorable: int = 0
    unmirrored: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()

    @property
    def why_unknown(self) -> str:
        """Why nobody can tell whether the mirror is complete; empty if there is no such reason."""
        if self.doubt:
            return self.doubt
        if self.hidden and not self.listed:
            return "the list is empty, but Planning Center shows its records by their id"
        if self.method != "count" and self.mirror_count and not self.same:
            return "no record has the same content: none was compared, or all were changed since"
        if self.method == "full" and self.same + self.newer - self.added + self.apart < self.mirror_count:
            return "not every row was compared"
        return ""

    @property
    def apart(self) -> int:
        """At most so many of Planning Center's records are not in the mirror because they could not be stored."""
        return max(self.quarantined, self.unstorable)

    @property
    def verdict(self) -> Verdict:
        """The strongest word that what was seen allows."""
        if self.unmirrored or self.ghosts or self.outdated:
            return "Different"
        if self.why_unknown:
            return "Unknown"
        if not all(-self.hidden <= one <= self.apart for one in self.surplus):
            return "Different"
        if self.apart:
            return "Incomplete"
        if self.method == "count":
            return "CountsAgree"
        if self.method == "sample":
            return "SampleAgrees"
        return "ExactAsOf" if self.newer else "Exact"

    @property
    def message(self) -> str:
        """What was compared, and what came of it, in one line."""
        return "; ".join(part for part in (*self._differences(), *self._agreements()) if part)

    def _differences(self) -> list[str]:
        found = ", ".join(f"{len(ids)} {kind}" for kind, ids in self.differences.items() if ids)
        doubt = self.why_unknown if self.verdict == "Unknown" else ""
        quarantined = f"{self.quarantined} in quarantine" if self.quarantined else ""
        unstorable = f"{self.unstorable} listed that cannot be stored" if self.unstorable > self.quarantined else ""
        return [found, doubt, quarantined, unstorable]

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        """The ids of what differs, by kind."""
        return {"unmirrored": self.unmirrored, "ghosts": self.ghosts, "outdated": self.outdated}

    def _agreements(self) -> list[str]:
        content = f"{self.same} of {self.mirror_count} records have the same content"
        newer = (
            f"{self.newer} new or changed since {self.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.newer else ""
        )
        hidden = f"{self.hidden} are not listed, but shown by their id" if self.hidden else ""
        if self.method == "count":
            return [self._counts(), newer, "no content compared"]
        if self.owners is not None:
            return [f"{content} ({self.owners} of {self.known_owners} owners)", newer, hidden]
        if self.method == "sample":
            return [f"{content} ({counted(self.pages, 'page')})", self._counts(), newer, hidden]
        return [content, newer, hidden]

    def _counts(self) -> str:
        if self.pco_count is None or self.doubt:
            return f"the mirror counts {self.mirror_count}"
        if self.pco_count == self.mirror_count and not any(self.surplus):
            return f"both count {self.mirror_count}"
        return f"Planning Center counts {self.pco_count}, the mirror {self.mirror_count}"


def evidence_of(
    found: Difference,
    *,
    method: Method,
    as_of: datetime,
    mirror_count: int,
    quarantine: OpenQuarantine,
    doubt: str,
    listed: int,
    hidden: int,
    unstorable: int,
) -> Evidence:
    """What a comparison has `found`. A record that is in quarantine by now is not called unmirrored."""
    return Evidence(
        method=method,
        as_of=as_of,
        mirror_count=mirror_count,
        pco_count=None,
        doubt=doubt,
        listed=listed,
        same=len(found.same),
        newer=len(found.newer),
        added=len(found.added),
        hidden=hidden,
        quarantined=max(quarantine.count, len(found.quarantined)),
        unstorable=unstorable,
        unmirrored=tuple(found.unmirrored - quarantine.record_ids),
        ghosts=tuple(found.ghosts),
        outdated=tuple(found.outdated),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """A comparison of the mirror of one list with Planning Center, as it is kept."""

    org_id: str
    entity: str
    method: str
    verdict: str
    message: str
    requests: int
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    proof_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def facts_of(evidence: Evidence, **more: Any) -> dict[str, Any]:
    """What is kept of the evidence: numbers, and at most `MOST_SHOWN` ids of each kind of difference."""
    kinds = evidence.differences
    facts = {name: value for name, value in asdict(evidence).items() if name not in kinds}
    facts |= {"as_of": evidence.as_of.isoformat(), "surplus": list(evidence.surplus), "message": evidence.message}
    residuals = {kind: sorted(ids, key=lambda one: (len(one), one))[:MOST_SHOWN] for kind, ids in kinds.items()}
    return facts | {kind: len(ids) for kind, ids in kinds.items()} | {"residuals": residuals} | more
