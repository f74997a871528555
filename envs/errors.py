"""The one exception for input that a user can correct."""


class InputError(ValueError):
    """Bad input: the message names the file, row, column or key, and the remedy.

    Command-line entry points print its message without a traceback and exit with status 2.
    """
