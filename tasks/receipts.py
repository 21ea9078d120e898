"""Where Prefect keeps the receipts of pages: in Redis, which all workers share, over one pool of connections."""

import redis.asyncio
from prefect.exceptions import ObjectNotFound
from prefect_redis import RedisDatabase
from pydantic import PrivateAttr, SecretStr

BLOCK_NAME = "pco-sync-receipts"
KEPT_SECONDS = 14 * 24 * 3600
"""Longer than any epoch should take. The ledger does not need the receipts; they make a restart visible in the UI."""

CONNECTIONS = 4
"""Enough: a receipt takes a fraction of what its page takes. Without a bound, every page begun would open another."""


class ReceiptStorage(RedisDatabase):  # type: ignore[misc]
    """`RedisDatabase` that keeps its connections: the original opens one for every read and write."""

    _block_type_name = "PCO Sync Receipts"
    _block_type_slug = "pco-sync-receipts"
    _description = "Keeps the receipts of pco-sync's pages in Redis"
    _client: redis.asyncio.Redis | None = PrivateAttr(default=None)

    async def aread_path(self, path: str) -> bytes:
        """The receipt under this key, or None as `RedisDatabase` has it."""
        return await self._pooled().get(path)  # type: ignore[return-value]

    async def awrite_path(self, path: str, content: bytes) -> bool:
        """Keep a receipt."""
        return await self._pooled().set(path, content, ex=self.key_ttl) is True

    def _pooled(self) -> redis.asyncio.Redis:
        if self._client is None:
            address = self.connection_url.get_secret_value()
            pool = redis.asyncio.BlockingConnectionPool.from_url(address, max_connections=CONNECTIONS)
            self._client = redis.asyncio.Redis.from_pool(pool)
        return self._client

    async def aclose(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


async def receipt_storage(redis_url: SecretStr) -> ReceiptStorage:
    """The storage block of this Redis, saved with Prefect's server so that any process can read a receipt."""
    wanted = ReceiptStorage(connection_url=redis_url, key_ttl=KEPT_SECONDS)
    try:
        saved: ReceiptStorage | None = await ReceiptStorage.aload(BLOCK_NAME)
    except (ValueError, ObjectNotFound):
        saved = None
    if saved is None or saved.connection_url != wanted.connection_url or saved.key_ttl != wanted.key_ttl:
        await wanted.save(BLOCK_NAME, overwrite=True)
        return wanted
    return saved
