"""`service`: the servers and the worker as services of the machine, and the commands for that, a file each."""

from deployments.commands.groups import group_of
from deployments.commands.service.install import install
from deployments.commands.service.remove import remove
from deployments.commands.service.status import status

service = group_of("service", install, status, remove)
service.default(status)
