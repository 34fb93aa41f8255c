"""What the tests of the asyncio client share: one scenario against the fakes, and the policy that retries at once."""

import asyncio

from fake_services import Fakes, serving, settled

from semantic_palette.client import AsyncClient, RetryPolicy

FAST = RetryPolicy(max_attempts=4, initial_backoff=0.001, max_backoff=0.01)


def talk(scenario, fakes: Fakes | None = None, **options):
    """Runs `scenario(client, fakes)` against a real server and checks that nothing is left in flight."""
    fakes = fakes or Fakes()

    async def run():
        async with serving(fakes) as address, AsyncClient(address, **{"retry": FAST} | options) as client:
            result = await scenario(client, fakes)
            await settled(fakes)
            return result

    return asyncio.run(run())


async def collect(stream):
    return [pair async for pair in stream]
