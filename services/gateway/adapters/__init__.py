"""The adapters that webhooks can name: one line for each."""

from services.gateway.adapters import amazon_connect, mapped, poslog, segment, square, zendesk
from services.gateway.adapters.adapter import Adapter

ADAPTERS: dict[str, Adapter] = {
    each.ADAPTER.name: each.ADAPTER
    for each in (
        amazon_connect,
        mapped,
        poslog,
        segment,
        square,
        zendesk,
    )
}
