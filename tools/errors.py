"""What a command cannot do, told to the operator."""


class OperatorError(Exception):
    """One sentence: what is wrong and what to do. `exit_code` is what the command ends with."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
