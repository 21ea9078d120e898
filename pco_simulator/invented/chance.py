"""Chance that can be asked again: a number that depends on nothing but what it is asked about."""

import zlib
from collections.abc import Callable

_MASK = 0xFFFFFFFF


def roller(*topic: object) -> Callable[[int], int]:
    """A function from a record's number to 32 evenly spread bits, the same ones for the same topic, always."""
    salt = zlib.crc32(":".join(map(str, topic)).encode())

    def roll(number: int) -> int:
        mixed = (number * 0x9E3779B1 + salt) & _MASK
        mixed = ((mixed ^ (mixed >> 16)) * 0x85EBCA6B) & _MASK
        mixed = ((mixed ^ (mixed >> 13)) * 0xC2B2AE35) & _MASK
        return mixed ^ (mixed >> 16)

    return roll
