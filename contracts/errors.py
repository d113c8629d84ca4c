"""The one error whose text is meant for a person."""


class UserError(Exception):
    """Something a person can mend. Its text is one line: what is wrong, and what to do about it.

    The command line prints it and exits with status 2, without a traceback.
    """
