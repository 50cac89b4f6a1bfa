"""What others have written, shown so that it can neither steer a terminal nor pass for a line of ours."""


def printable(text: str) -> str:
    """One line: line ends, control characters, and marks that turn the direction of writing are escaped."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def printable_bytes(value: bytes) -> str:
    """As `printable`; what is not UTF-8 is escaped, too."""
    return printable(value.decode("utf-8", "backslashreplace"))


def printable_page(value: bytes) -> str:
    """As `printable_bytes`, but its lines stay lines: for a value that is shown last."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
