"""The ids of webhooks, which people paste behind commands."""

from typing import cast

from services.chassis.postgres import Pool
from services.gateway.keyring import Keyring
from services.gateway.webhooks import Webhooks


def test_no_id_looks_like_an_option() -> None:
    webhooks = Webhooks(cast(Pool, None), Keyring(bytes(32)))

    first = {webhooks._new_id()[0] for _ in range(2000)}

    assert (True, False) == (len(first) > 50, "-" in first)
