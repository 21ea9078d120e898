"""Several churches in one process: the credential says which one is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pco_simulator.answering.authentication import application_of, bearer_of
from pco_simulator.answering.documents import organization
from pco_simulator.oauth.provider import Provider
from pco_simulator.simulator import Simulator

CLIENTS: Mapping[str, str] = {"demo-client": "demo-client-secret", "demo-public-client": ""}
"""The OAuth applications, which open nothing but the simulator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Consenting:
    organization: Mapping[str, Any]
    user: str


class Churches:
    """Simulators by the application that each lets in, or by the church of an OAuth token.

    Who is let in by none is refused by the first one.
    """

    def __init__(self, simulators: Sequence[Simulator]) -> None:
        self.first = simulators[0]
        self._by_application = {name: one for one in simulators for name in one.settings.credentials}
        self._by_organization = {one.world.church["id"]: one for one in simulators}
        self.provider = Provider(
            churches=[
                _Consenting(organization=organization(one.world.church, "people"), user=f"9{one.world.church['id']}")
                for one in simulators
            ],
            clients=CLIENTS,
        )
        for one in simulators:
            one.admit = self.provider.admit

    def asked(self, headers: Mapping[bytes, bytes]) -> Simulator:
        """The one that a request is for."""
        token = bearer_of(headers)
        if token:
            return self._by_organization.get(self.provider.organization_of(token), self.first)
        return self._by_application.get(application_of(headers), self.first)

    def named(self, application: str) -> Simulator:
        """The one that lets an application in; the first one for ''. Raises `ValueError`."""
        if application and application not in self._by_application:
            raise ValueError(f"no church lets the application {application!r} in")
        return self._by_application.get(application, self.first)


def nth_credential(app_id: str, secret: str, number: int) -> tuple[str, str]:
    """Application id and secret of a church, counted from 0: the first one's, then `app-1` and so on."""
    return (f"{app_id}-{number}", f"{secret}-{number}") if number else (app_id, secret)
