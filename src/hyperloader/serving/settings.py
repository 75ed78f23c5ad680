"""What a service takes on, and how long it may take."""

from dataclasses import dataclass, fields

from hyperloader.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of a service; docs/serving.md says what is answered beyond them.

    Attributes:
        batch_tokens: tokens that are tagged at once, roughly; a longer text goes alone.
        max_wait: milliseconds that a batch waits for more texts while several clients ask.
        max_requests: requests that are read, waiting or being answered at a time.
        max_queue: texts that wait for the model.
        max_texts: texts of one request.
        max_characters: characters of one text.
        max_body: bytes of a request.
        timeout: seconds for the body of a request to come, and from then for its answer.
        drain: seconds that a stopping service has for what it has accepted.
        api_keys: any of them opens the service; none: it is open.
        admin_key: opens what changes the service; none: nobody may.
        log_texts: write the texts into the log.
    """

    batch_tokens: int = 1024
    max_wait: float = 2.0
    max_requests: int = 512
    max_queue: int = 2000
    max_texts: int = 1000
    max_characters: int = 20_000
    max_body: int = 2 << 20
    timeout: float = 30.0
    drain: float = 30.0
    api_keys: tuple[str, ...] = ()
    admin_key: str | None = None
    log_texts: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("max_wait", "drain") else 1e-9
            if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
                raise ConfigError(f"{field.name} is {value}; give a larger number")
        if self.max_queue < self.max_texts:
            raise ConfigError(
                f"max_queue is {self.max_queue} and max_texts {self.max_texts}: such a request "
                "would never find room; give a longer queue or fewer texts"
            )
        keys = [*self.api_keys, *([] if self.admin_key is None else [self.admin_key])]
        if any(not key or not key.isascii() or not key.isprintable() for key in keys):
            raise ConfigError("a key is empty or holds other than printable ASCII characters")


def keys_of(given: str | None) -> tuple[str, ...]:
    """The keys in a list with commas."""
    return tuple(key.strip() for key in given.split(",")) if given else ()
