"""References as the provider makes them: a prefix and eight characters that tell nothing about order or number."""

import secrets
from itertools import product

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS = ["".join(pair) for pair in product(_DIGITS, repeat=2)]
_BASE = len(_PAIRS)
_SPACE = _BASE**4
# Coprime with 36, so multiplying by it modulo 36**8 maps every row number to a reference of its own.
_STEP = 1_847_293_650_137


def usage_reference(row: int) -> str:
    """The reference of the usage in `row`: unique for rows below 36**8, and the same whenever it is asked for."""
    number = row * _STEP % _SPACE
    number, fourth = divmod(number, _BASE)
    number, third = divmod(number, _BASE)
    first, second = divmod(number, _BASE)
    return f"usage_{_PAIRS[first]}{_PAIRS[second]}{_PAIRS[third]}{_PAIRS[fourth]}"


def new_reference(prefix: str) -> str:
    """A new random reference such as `cus_0VXPU8NE`."""
    return f"{prefix}_{''.join(secrets.choice(_DIGITS) for _ in range(8))}"
