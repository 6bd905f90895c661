"""An aiohttp application on a port, in a thread with an event loop of its own."""

import asyncio
from threading import Thread

from aiohttp import web

from serving.errors import ServingError


class Listener:
    """Listens as soon as it is made. Raises ServingError when the port is taken.

    drain_seconds: longest wait for requests under way, when it is stopped.
    """

    def __init__(self, app: web.Application, host: str, port: int, drain_seconds: float):
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._thread.start()
        try:
            self._runner = self._do(self._start(app, host, port, drain_seconds))
        except OSError as error:
            self._end()
            raise ServingError("UNAVAILABLE", f"cannot listen on {host}:{port}: {error.strerror}") from error

    def stop(self) -> None:
        """No new connections; requests under way are answered."""
        self._do(self._runner.cleanup())
        self._end()

    async def _start(self, app: web.Application, host: str, port: int, drain_seconds: float) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner

    def _do(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
