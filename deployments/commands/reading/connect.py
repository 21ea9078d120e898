"""`connect`: how a church is read."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.parameters import ConsentProducts, Json, OrgId, WrongArgumentError
from deployments.terminal import terminal


def connect(
    org_id: OrgId,
    /,
    *,
    oauth: Annotated[
        bool, Parameter(show_default=False, help="By the church's consent, instead of a Personal Access Token.")
    ] = False,
    product: ConsentProducts = (),
    no_browser: Annotated[
        bool, Parameter(show_default=False, help="Show the link, and take the pasted answer; with --oauth.")
    ] = False,
    organization: Annotated[
        str | None, Parameter(help="Planning Center's id of the church that has to consent; with --oauth.")
    ] = None,
    base_url: Annotated[str | None, Parameter(help="Where Planning Center answers, for a simulator.")] = None,
    json: Json = False,
) -> int:
    """Check a church's Personal Access Token, or have it consent by OAuth, and store that."""
    if not oauth and (product or no_browser or organization):
        raise WrongArgumentError("--product, --no-browser and --organization go with --oauth")
    find_servers()
    if oauth:
        from deployments.connecting.by_oauth import Wish, ask_and_connect_by_oauth

        wish = Wish(org_id=org_id, products=product, organization=organization, with_browser=not no_browser)
        return ask_and_connect_by_oauth(wish, base_url, terminal(as_json=json), as_json=json)
    from deployments.operations.connect import ask_and_connect

    return ask_and_connect(org_id, base_url, terminal(as_json=json), as_json=json)
