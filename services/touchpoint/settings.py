"""What the touchpoint service can be told by its environment."""

from services.chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings, env_prefix="TOUCHLEDGER_TOUCHPOINT_"):
    """Variables start with TOUCHLEDGER_TOUCHPOINT_."""

    listen: Address = "127.0.0.1:50052"
    # Be ready although the server's fsync, full_page_writes or synchronous_commit is off: an acknowledged
    # event may then be lost.
    unsafe_durability: bool = False
