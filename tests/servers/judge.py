"""A small server that speaks OpenAI's protocol, as slow and as faulty as a test wants it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "rewards.md"

Fault = Callable[[int], str]
"""What goes wrong with the n-th call: ``""`` nothing, ``error``, ``limited``, ``garbled``, ``silent``."""


class Judge:
    """Scores an answer 1 when it is "right", and counts."""

    def __init__(self, seconds: float = 0.0, fault: Fault = lambda number: "", retry_after: int = 0) -> None:
        self.seconds, self.fault, self.retry_after = seconds, fault, retry_after
        self.asked: Counter[str] = Counter()
        self.calls = self.now = self.most = 0
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, prompt: str) -> tuple[int, str]:
        said = re.findall(r"Answer given: (.*)", prompt)[0]
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
            self.now += 1
            self.most = max(self.most, self.now)
            self.asked[said] += 1
        time.sleep(self.seconds)
        kind = self.fault(number)
        if kind == "silent":
            time.sleep(1.0)
        with self._lock:
            self.now -= 1
        content = "no JSON" if kind == "garbled" else json.dumps({"score": float(said.startswith("right"))})
        status = {"error": 500, "limited": 429}.get(kind, 200)
        return status, json.dumps({"choices": [{"message": {"content": content}}]})


@contextmanager
def serving(judge: Judge) -> Iterator[Judge]:
    """The judge on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, text = judge.answer(body["messages"][0]["content"])
            try:
                self.send_response(status)
                if judge.retry_after:
                    self.send_header("Retry-After", str(judge.retry_after))
                self.end_headers()
                self.wfile.write(text.encode())
            except BrokenPipeError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    judge.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()


def example(folder: Path) -> Path:
    """The judge of docs/rewards.md, written to a file."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = folder / "llm_judge.py"
    file.write_text(next(block for block in blocks if "class LlmJudge" in block), encoding="utf-8")
    return file
