"""A stand-in for vLLM: the same command line, processes and manners, and no model; FAKE_VLLM says how it misbehaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLAGS = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
MANNERS = os.environ.get("FAKE_VLLM", "")
ENGINE_CORE = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"


class Answers(BaseHTTPRequestHandler):
    """What serve asks for."""

    def do_GET(self) -> None:
        self._send(200, {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if MANNERS == "mute":
            self._send(200, {"choices": [{"finish_reason": "abort"}], "usage": {"completion_tokens": 0}})
        elif asked["model"] != FLAGS["--served-model-name"]:
            self._send(404, {"error": {"message": f"The model `{asked['model']}` does not exist."}})
        else:
            self._send(200, {"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 8}})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _send(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until SIGTERM, then for as long as it drains, and end with code 0."""
    engine_core = subprocess.Popen([sys.executable, "-c", ENGINE_CORE])
    pids = f"{os.getpid()},{engine_core.pid}"
    say(f"(EngineCore) Initializing a V1 LLM engine pids={pids} env={os.environ['HF_HUB_OFFLINE']}")
    say("long line " + "x" * 200_000)
    if MANNERS.startswith("fails:"):
        say(MANNERS.removeprefix("fails:"))
        for number in range(70):
            say(f"  line {number} of the traceback of the server, which only waited for the engine")
        sys.exit(3)
    if MANNERS == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MANNERS in ("never", "deaf"):
        time.sleep(600)
    server = ThreadingHTTPServer((FLAGS["--host"], int(FLAGS["--port"])), Answers)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say("Application startup complete.")
    while not stopped.wait(0.02):
        pass
    say("draining")
    if MANNERS == "drains for ever":
        time.sleep(600)
    sys.exit(7 if MANNERS == "ends with 7" else 0)


main()
