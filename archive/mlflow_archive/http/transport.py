"""HTTP connections that acknowledge at once.

MLflow's server writes the header and the body of a response separately. With Nagle's algorithm the body waits until
the header is acknowledged, and Linux delays that acknowledgement by 40 ms on a connection that is kept alive.
TCP_QUICKACK switches the delay off; the kernel forgets it again, so it is set before each response.
"""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def _acknowledge_at_once(sock: Any) -> None:
    if _QUICKACK is None or sock is None:
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
    except (OSError, AttributeError):  # a socket that is no TCP socket, such as TLS inside a TLS proxy, goes without
        return


class _QuickHTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        _acknowledge_at_once(self.sock)
        return super().getresponse()


class _QuickHTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _acknowledge_at_once(self.sock)
        return super().getresponse()


class _QuickHTTPPool(HTTPConnectionPool):
    ConnectionCls = _QuickHTTPConnection


class _QuickHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _QuickHTTPSConnection


_POOLS = {"http": _QuickHTTPPool, "https": _QuickHTTPSPool}


class QuickAckAdapter(HTTPAdapter):
    """A requests adapter whose connections, also those through a proxy, acknowledge at once."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is ProxyManager:  # a SOCKS manager brings connections of its own
            manager.pool_classes_by_scheme = _POOLS
        return manager
