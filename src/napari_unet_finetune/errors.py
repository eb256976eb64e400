"""What a user can put right: every message says what is wrong, where, and what to do."""


class FinetuneError(Exception):
    """Base of all errors whose message is meant for the user."""


class DataError(FinetuneError):
    """An image, a mask or a folder of them cannot be used as it is."""


class ModelError(FinetuneError):
    """A model file is missing, damaged, foreign or of a newer version."""


class RunError(FinetuneError):
    """A run cannot start, go on or be resumed."""


class DeviceError(FinetuneError):
    """The chosen device is absent or out of memory."""
