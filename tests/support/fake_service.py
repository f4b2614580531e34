"""Stands in for a service under the launcher: healthy at once, or as ill-behaved as it is told.

python fake_service.py NAME     with FAKE_NAME one of: die, never, stubborn, worker, or unset
"""

import os
import signal
import subprocess
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def main() -> None:
    name = sys.argv[1]
    behaviour = os.environ.get(f"FAKE_{name.upper()}", "")
    print(f"{name} begins", flush=True)
    if behaviour == "die":
        sys.exit("I cannot go on: boom")
    if behaviour == "worker":
        # Outlives a service that forgets it, in a session of its own.
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    # Before gRPC makes its threads, which inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # Another launcher's service on the same port must be an error, as with the real ones.
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", NOT_SERVING if behaviour == "never" else SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ[f"TOUCHLEDGER_{name.upper()}_LISTEN"])
    server.start()
    print(f"{name} serves", flush=True)
    if behaviour == "stubborn":
        threading.Event().wait()
    signal.sigwait({signal.SIGTERM})
    print(f"{name} ends", flush=True)
    server.stop(1).wait()


if __name__ == "__main__":
    main()
