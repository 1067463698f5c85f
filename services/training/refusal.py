"""Why a training run made no model, or one that must not go live."""


class RefusedError(Exception):
    """A training run that ends here; the message goes to whoever asked, and says what to do.

    code: what kind of refusal, for logs and tests.
    """

    def __init__(self, code: str, explanation: str) -> None:
        super().__init__(explanation)
        self.code = code
