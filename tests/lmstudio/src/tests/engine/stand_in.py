"""A stand-in for llama-server: the little of it that the emulator uses, with habits that tests ask for by words.

The name of the weights says how it starts and ends: broken (ends while loading), slow (never ready), stubborn (does not
end when asked), vectors (embeds). Words in the last message say how it answers: pid, arguments, LONG, REFUSE, DIE,
FOREVER; anything else is heard.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ARGUMENTS = sys.argv[1:]
WEIGHTS = ARGUMENTS[ARGUMENTS.index("-m") + 1]
ALIAS = ARGUMENTS[ARGUMENTS.index("--alias") + 1]
PORT = ARGUMENTS[ARGUMENTS.index("--port") + 1]


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        ready = "slow" not in WEIGHTS
        self.answer(200 if ready else 503, {"status": "ok"} if ready else {"error": {"code": 503, "message": "Loading model"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/embeddings":
            rows = [[float(index == 0), float(index == 1)] for index in range(len(body["input"]))]
            data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
            return self.answer(200, {"object": "list", "data": data, "model": "x", "usage": {"prompt_tokens": 7, "total_tokens": 7}})
        assert body["model"] == ALIAS and "ttl" not in body
        words = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        if words == "LONG":
            error = {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096}
            return self.answer(400, {"error": error})
        if words == "REFUSE":
            return self.answer(400, {"error": {"code": 400, "message": "no", "type": "invalid_request_error"}})
        own = {"pid": str(os.getpid()), "arguments": " ".join(ARGUMENTS).replace(PORT, "PORT")}
        text = own.get(words, f"{ALIAS} heard {words}")
        if body.get("stream"):
            return self.stream(text)
        if "DIE" in words:
            os._exit(11)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop"}
        choice |= {"text": text} if "prompt" in body else {"message": message}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self.answer(200, {"choices": [choice], "created": 1, "model": "other", "object": "chat.completion",
                          "usage": usage, "id": "chatcmpl-x", "timings": {"predicted_n": 2}})

    def stream(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = text.split(" ")
        while words:
            self.chunk({"content": words[0] + " "}, None)
            if words.pop(0) == "FOREVER":
                threading.Event().wait()
        self.chunk({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def chunk(self, delta, reason):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {"choices": [choice], "created": 1, "id": "chatcmpl-x", "model": "other", "object": "chat.completion.chunk",
                 "timings": {"predicted_n": 2}}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()


if "broken" in WEIGHTS:
    sys.exit(1)
if "stubborn" in WEIGHTS:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
ThreadingHTTPServer(("127.0.0.1", int(PORT)), Server).serve_forever()
