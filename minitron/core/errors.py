"""The one exception that users are meant to see. Anything else that escapes is a bug and keeps its traceback."""


class MinitronError(Exception):
    """A failure that the user can mend: one plain sentence, and what to do about it.

    `code` is the exit status: 1 for a failure, 2 for a mistake in the command or the recipe.
    """

    def __init__(self, message: str, *, hint: str = "", code: int = 1):
        super().__init__(message)
        self.hint = hint
        self.code = code
