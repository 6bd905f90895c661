"""`python -m serving --model_base_path=/models/name ...`: serves until SIGTERM or SIGINT, then drains.

Exit codes: 0 drained; 1 it could not start; 2 the flags are wrong.
"""

import logging
import os
import signal
import sys

from serving.errors import ServingError
from serving.options import parse


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it calls its own loader deprecated, at every load
    sys.modules["keras"] = None  # type: ignore[assignment]  # TensorFlow would import it: a second and 100 MB
    from serving.servable import disable_xla
    from serving.server import Server

    if not (options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled):
        disable_xla()
    server = None
    try:
        server = Server(options)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.interrupt())
        server.start()
        server.wait()
    except ServingError as error:
        print(f"Failed to start server. Error: {error.code.name}: {error.message}", file=sys.stderr)
        return 1
    finally:
        if server:
            logging.info("Draining")
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
