"""The requests library, connecting through a dial."""

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from policy_server.net.dial import Dial, connection_types


class GuardedAdapter(HTTPAdapter):
    """The requests adapter that connects through a dial."""

    def __init__(self, dial: Dial) -> None:
        """Keep the dial; pools are made empty."""
        self._dial = dial
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make pools whose connections open their sockets through the dial (``Any`` is the library's)."""
        plain, secure = connection_types(self._dial)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = secure

        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
