"""The service as a deployment of Ray Serve: ``serve run hyperloader.serving.ray:app``.

What it serves is said by variables, which every replica reads: HYPERLOADER_TAGGERS (as the
arguments of ``hyperloader serve``, separated by spaces), HYPERLOADER_REPLICAS (at most),
HYPERLOADER_API_KEY and HYPERLOADER_ADMIN_KEY. A replica is a service with a queue of its own; Ray
balances, scales and restarts them. What an admin changes, changes one replica only, so that no
admin key is taken where there may be several.
"""

import os
from typing import TYPE_CHECKING

from hyperloader.builtin import BUILTIN
from hyperloader.errors import NotInstalledError

try:
    from ray import serve
except ImportError:
    raise NotInstalledError("Ray Serve is not installed; pip install 'hyperloader[ray]'") from None

if TYPE_CHECKING:
    from fastapi import FastAPI

REPLICAS = int(os.environ.get("HYPERLOADER_REPLICAS", "4"))
# Requests of one replica before another one is started; more wait at Ray's proxy.
BUSY, MOST = 32, 256


def build() -> "FastAPI":
    """The application of one replica, where it runs."""
    from hyperloader.serving.app import create_app
    from hyperloader.serving.logs import set_up
    from hyperloader.serving.service import Service
    from hyperloader.serving.settings import Settings, keys_of
    from hyperloader.serving.taggers import Taggers, load

    set_up()
    names = os.environ.get("HYPERLOADER_TAGGERS", BUILTIN).split()
    settings = Settings(
        api_keys=keys_of(os.environ.get("HYPERLOADER_API_KEY")),
        admin_key=(os.environ.get("HYPERLOADER_ADMIN_KEY") or None) if REPLICAS == 1 else None,
    )
    return create_app(Service(Taggers(map(load, names)), settings))


@serve.deployment(
    name="hyperloader",
    max_ongoing_requests=MOST,
    autoscaling_config={
        "min_replicas": 1,
        "max_replicas": REPLICAS,
        "target_ongoing_requests": BUSY,
    },
)
@serve.ingress(build)
class Replica:
    """One process that tags."""


app = Replica.bind()  # type: ignore[attr-defined]
