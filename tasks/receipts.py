"""Where Prefect keeps the receipts of pages: in Redis, which all workers share, over one pool of connections."""

from collections.abc import Awaitable
from typing import TypeVar

import redis.asyncio
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect_redis import RedisDatabase
from pydantic import PrivateAttr, SecretStr
from redis.exceptions import RedisError

from pco_client.redis_address import redis_address
from pco_client.redis_trouble import RedisRefused, first_trouble, redis_trouble

T = TypeVar("T")

BLOCK_NAME = "pco-sync-receipts"
KEPT_SECONDS = 14 * 24 * 3600
"""Longer than any epoch should take. The ledger does not need the receipts; they make a restart visible in the UI."""

RACES_LOST = 5
"""How often others may save the block's type, its schema and the block itself just before us."""

CONNECTIONS = 4
"""Enough: a receipt takes a fraction of what its page takes. Without a bound, every page begun would open another."""


class ReceiptStorage(RedisDatabase):  # type: ignore[misc]
    """`RedisDatabase` that keeps its connections: the original opens one for every read and write."""

    _block_type_name = "PCO Sync Receipts"
    _block_type_slug = "pco-sync-receipts"
    _description = "Keeps the receipts of pco-sync's pages in Redis"
    _client: redis.asyncio.Redis | None = PrivateAttr(default=None)
    _has_answered: bool = PrivateAttr(default=False)

    async def aread_path(self, path: str) -> bytes:
        """The receipt under this key, or None as `RedisDatabase` has it."""
        return await self._asked(self._pooled().get(path))  # type: ignore[arg-type]

    async def awrite_path(self, path: str, content: bytes) -> bool:
        """Keep a receipt."""
        return await self._asked(self._pooled().set(path, content, ex=self.key_ttl)) is True

    async def _asked(self, question: Awaitable[T]) -> T:
        """Raises `RedisRefused` instead of an error of Redis that no waiting changes."""
        try:
            answer = await question
        except (RedisError, OSError) as error:
            trouble = redis_trouble(error) if self._has_answered else await first_trouble(error, self._pooled())
            if trouble.is_lasting:
                raise RedisRefused(trouble.words) from None
            raise
        self._has_answered = True
        return answer

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
    address = SecretStr(redis_address(redis_url.get_secret_value()))
    wanted = ReceiptStorage(connection_url=address, key_ttl=KEPT_SECONDS)
    for attempt in range(1, RACES_LOST + 1):
        saved = await _saved()
        if saved is not None and (saved.connection_url, saved.key_ttl) == (wanted.connection_url, wanted.key_ttl):
            return saved
        try:
            await wanted.save(BLOCK_NAME, overwrite=True)
        except ObjectAlreadyExists:  # another process saves it at this moment, for the first time
            if attempt == RACES_LOST:
                raise
        else:
            return wanted
    raise AssertionError("the last attempt returns or raises")


async def _saved() -> ReceiptStorage | None:
    try:
        saved: ReceiptStorage = await ReceiptStorage.aload(BLOCK_NAME)
    except (ValueError, ObjectNotFound):
        return None
    return saved
