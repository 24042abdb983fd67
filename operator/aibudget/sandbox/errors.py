"""What goes wrong in the sandbox, told with what the user can do about it."""

from aibudget.errors import AIBudgetError


class SandboxError(AIBudgetError):
    """A binary, process or server of the sandbox is not there or not well; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__("SandboxFailed", message)
