"""``hyperloader serve``: a tagger as a service."""

from typing import Annotated

import typer
from rich.console import Console

from hyperloader.builtin import BUILTIN
from hyperloader.errors import ConfigError, check_installed

_NEEDED = ("fastapi", "uvicorn", "prometheus_client")
_LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TAGGER]...",
            help="Training runs, checkpoints, or owner/name on the Hub, each also as NAME=PATH "
            "(default: the best bundled tagger).",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0: every one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="HYPERLOADER_API_KEY",
            show_default=False,
            help="What clients have to send; several are separated by commas. Others see an "
            "option in the list of processes: rather set the variable.",
        ),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(
            envvar="HYPERLOADER_ADMIN_KEY",
            show_default=False,
            help="What is needed to load and remove taggers while it runs (default: nobody may).",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 (for a GPU) or int8 (faster on a CPU).")
    ] = "float32",
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens that are tagged at once, roughly.")
    ] = 1024,
    max_wait: Annotated[
        float,
        typer.Option(
            min=0, help="Milliseconds that a batch waits for more, while several clients ask."
        ),
    ] = 2.0,
    max_requests: Annotated[
        int, typer.Option(min=1, help="Requests at a time; to more it says 429.")
    ] = 512,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Texts that wait; to more it says 429.")
    ] = 2000,
    max_texts: Annotated[
        int, typer.Option(min=1, help="Texts of one request; to more it says 413.")
    ] = 1000,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Characters of one text; to more it says 413.")
    ] = 20_000,
    max_body: Annotated[
        int, typer.Option(min=1, help="Bytes of one request; to more it says 413.")
    ] = 2 << 20,
    timeout: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds for an answer (else 504) and for a body (408)."),
    ] = 30.0,
    drain: Annotated[
        float,
        typer.Option(min=0, help="Seconds, once it is to stop, for what it has accepted."),
    ] = 30.0,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Write texts into the log, for finding a fault.")
    ] = False,
) -> None:
    """Serve taggers over HTTP, with a page to try them at / (docs/serving.md).

    Texts of all clients are tagged together in batches. The log goes to standard error, one JSON
    object per line, without texts. Ctrl-C or SIGTERM stops it when all that it has accepted is
    answered; a second one at once.

    Examples:

      hyperloader serve

      hyperloader serve support=runs/mine builtin-t5 --port 8080

      HYPERLOADER_API_KEY=secret hyperloader serve runs/mine --host 0.0.0.0

      curl localhost:8000/v1/tag -H 'Content-Type: application/json' -d '{"texts": "a table for two
      at noon", "task": "restaurant"}'

      hyperloader tag --url http://localhost:8000 --task restaurant "a table for two at noon"
    """
    check_installed("services", "serve", _NEEDED)
    from hyperloader.serving.logs import set_up
    from hyperloader.serving.server import Server, Service, listen, url_of
    from hyperloader.serving.settings import Settings, keys_of
    from hyperloader.serving.taggers import Taggers, load

    settings = Settings(
        batch_tokens=batch_tokens,
        max_wait=max_wait,
        max_requests=max_requests,
        max_queue=max_queue,
        max_texts=max_texts,
        max_characters=max_characters,
        max_body=max_body,
        timeout=timeout,
        drain=drain,
        api_keys=keys_of(api_key),
        admin_key=admin_key or None,
        log_texts=log_texts,
    )
    listener = listen(host, port)
    with listener:
        taggers = Taggers(load(name, device, precision) for name in given or [BUILTIN])
        set_up(log_texts)
        console = Console(stderr=True, highlight=False, soft_wrap=True)

        def started() -> None:
            where = url_of(listener)
            console.print(f"{', '.join(taggers)} at {where} (Ctrl-C stops it)", markup=False)
            if host not in _LOCAL and not settings.api_keys:
                console.print("anybody who reaches it may use it: no API key is set", markup=False)

        server = Server(Service(taggers, settings), started)
        server.run([listener])
    if server.lost:
        raise ConfigError(
            f"{server.lost} texts were not answered within the {drain:g} seconds of --drain"
        )
