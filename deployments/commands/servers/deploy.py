"""`deploy`: what Prefect has to know."""

from deployments.ended import print_document
from deployments.environment import find_servers
from deployments.exit_codes import DONE
from deployments.interrupts import interrupts
from deployments.parameters import Json
from deployments.terminal import print_plain, terminal


def deploy(*, json: Json = False) -> int:
    """Create the work pool and the deployments of prefect.yaml; those of older names go."""
    find_servers()
    from deployments.provisioning.provision import provision

    provisioned = interrupts.run(provision())
    if json:
        print_document({"deployed": provisioned.pools, "removed": provisioned.removed, "exit_code": DONE})
        return DONE
    lines = [f"deployed {', '.join(names)} to the work pool {pool}" for pool, names in provisioned.pools.items()]
    lines += [f"removed {name}, which has another name now" for name in provisioned.removed]
    print_plain(terminal(), *lines)
    return DONE
