"""Numbers of things, in words."""


def counted(number: int, thing: str) -> str:
    """`1 page`, `1,200 pages`, `2 children`, `3 entries`, `4 days`."""
    if number == 1:
        return f"1 {thing}"
    many = (
        "children"
        if thing == "child"
        else f"{thing[:-1]}ies"
        if thing[-1] == "y" and thing[-2] not in "aeiou"
        else f"{thing}s"
    )
    return f"{number:,} {many}"


def there_are(number: int, thing: str) -> str:
    """`1 record is`, `2 records are`."""
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"
