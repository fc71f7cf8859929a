"""As much of a W&B server as one run needs: what it is told is kept, by run id."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = 40 * "a"  # of the form that W&B takes for a login


class Server(ThreadingHTTPServer):
    """Keeps each run's history rows, summary, settings and uploaded files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.summary: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.finished: list[str] = []
        self.uploads: list[str] = []
        self.resumed: list[str] = []

    def handle_error(self, *args: Any) -> None:
        """A client that hangs up is none."""

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name")
        project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": "somebody"}}
        if operation == "UpsertBucket":
            assert name is not None
            known = name in self.runs
            self.runs.setdefault(name, {}).update({key: value for key, value in given.items() if value is not None})
            bucket = {"id": f"id-{name}", "name": name, "displayName": name, "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": not known}}
        if operation == "RunResumeStatus":
            if name not in self.runs:
                return {"model": {**project, "bucket": None}}
            self.resumed.append(name)
            rows = self.history.get(name, [])
            tail = json.dumps([json.dumps(rows[-1])] if rows else [])
            counts = {"historyLineCount": len(rows), "eventsLineCount": 0, "logLineCount": 0}
            texts = {
                "historyTail": tail,
                "eventsTail": "[]",
                "summaryMetrics": "{}",
                "config": "{}",
                "wandbConfig": '{"t":1}',
            }
            return {"model": {**project, "bucket": {"id": f"id-{name}", "name": name, "tags": [], **counts, **texts}}}
        if operation == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/upload/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
        if operation == "CreateArtifact":
            return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": {"id": "s"}}}}
        if operation == "CreateArtifactManifest":
            file = {
                "id": "m",
                "name": "m",
                "displayName": "m",
                "uploadUrl": f"{self.url}/upload/manifest",
                "uploadHeaders": [],
            }
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
        if operation == "CreateArtifactFiles":
            wanted = given["input"]["artifactFiles"]
            nodes = [
                {"node": {
                    "id": "f", "name": file["name"], "displayName": file["name"], "uploadHeaders": [],
                    "uploadUrl": f"{self.url}/upload/artifact/{file['name']}", "storagePath": file["name"],
                    "uploadMultipartUrls": None, "artifact": {"id": "a"},
                }}
                for file in wanted
            ]  # fmt: skip
            return {"createArtifactFiles": {"files": {"edges": nodes}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        if operation == "ArtifactType":
            return {"project": {"artifact": None}}
        viewer = {"id": "u", "entity": "somebody", "username": "somebody", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _reply(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self.server.uploads.append(self.path.removeprefix("/upload/"))
        self._reply({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            request = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            self._reply({"data": self.server.answer(operation[1] if operation else "", request.get("variables") or {})})
        elif "file_stream" in self.path:
            self._take(self.path.split("/")[-2], json.loads(body or b"{}"))
            self._reply({"limits": {}})
        else:
            self._reply({})

    def _take(self, run: str, stream: dict[str, Any]) -> None:
        files = stream.get("files") or {}
        if "wandb-history.jsonl" in files:
            part = files["wandb-history.jsonl"]
            rows = self.server.history.setdefault(run, [])
            rows[part["offset"] :] = [json.loads(line) for line in part["content"]]
        if "wandb-summary.json" in files:
            for line in files["wandb-summary.json"]["content"]:
                self.server.summary.setdefault(run, {}).update(json.loads(line))
        if stream.get("complete"):
            self.server.finished.append(run)


@contextmanager
def wandb_server() -> Iterator[Server]:
    """A server that runs on this machine alone."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
