"""Ray Serve: HTTP with binary bodies, one replica whose model runs in a thread beside its event loop."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

BATCH_SIZE = int(os.environ["PEER_BATCH_SIZE"])


@serve.deployment(num_replicas=1, max_ongoing_requests=64, max_queued_requests=64, ray_actor_options={"num_cpus": 1})
class Image:
    def __init__(self) -> None:
        from onnx_image import ImageModel, parse

        self.model, self.parse = ImageModel(), parse
        self.thread = ThreadPoolExecutor(max_workers=1)

    @serve.batch(max_batch_size=max(BATCH_SIZE, 2), batch_wait_timeout_s=0.0, max_concurrent_batches=1)
    async def run_batch(self, items: list) -> list:
        return list(await asyncio.get_running_loop().run_in_executor(self.thread, self.model.run, items))

    async def __call__(self, request: Request) -> Response:
        item = self.parse(await request.body())
        if BATCH_SIZE > 1:
            image = await self.run_batch(item)
        else:
            image = (await asyncio.get_running_loop().run_in_executor(self.thread, self.model.run, [item]))[0]
        return Response(image.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, object_store_memory=200_000_000, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"]), "num_cpus": 0})
    serve.run(Image.bind(), route_prefix="/", blocking=False)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
