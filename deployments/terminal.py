"""Where a command's lines go."""

from rich.console import Console


class Terminal(Console):
    """A console that lets `app.main` know when nobody reads any more, instead of ending the process in the middle."""

    def on_broken_pipe(self) -> None:
        """Rich calls it. Raises `BrokenPipeError`."""
        raise BrokenPipeError


def terminal(*, as_json: bool = False) -> Terminal:
    """Standard output; standard error for a program that asked for JSON, which finds nothing else on the other one."""
    return Terminal(stderr=as_json)


def print_plain(console: Console, *lines: str) -> None:
    """Each line as it is: without markup, without colours, and broken by the terminal only."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_words(console: Console, *lines: str) -> None:
    """Sentences for a person: a terminal breaks them between words, and nobody breaks them for a program."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
