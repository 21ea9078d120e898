"""A command that has commands of its own."""

from collections.abc import Callable

from cyclopts import App, Parameter


def group_of(name: str, *commands: Callable[..., int]) -> App:
    """The command `name` with these; what becomes of errors is up to `deployments.app`, as with all others."""
    made = App(
        name=name,
        help_format="plaintext",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    for command in commands:
        made.command(command)
    return made
