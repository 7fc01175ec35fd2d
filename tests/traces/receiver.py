#!/usr/bin/env python3
"""An OpenTelemetry collector that keeps what it is sent: receiver.py FILE takes OTLP over HTTP (protobuf) at /v1/traces, prints its
port, and writes a span a line as JSON."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


def plain(value):
    return getattr(value, value.WhichOneof("value"))


def attributes(pairs):
    return {pair.key: plain(pair.value) for pair in pairs}


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
            self.send_error(400, f"{self.path} {self.headers['content-type']}")
            return
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            of_resource = attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    line = {
                        "name": span.name, "trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                        "links": [link.span_id.hex() for link in span.links], "attributes": attributes(span.attributes),
                        "start": span.start_time_unix_nano, "end": span.end_time_unix_nano, "resource": of_resource,
                        "header": self.headers.get("x-tenant"),
                    }
                    print(json.dumps(line), file=self.server.out, flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
with open(sys.argv[1], "a") as server.out:
    print(server.server_port, flush=True)
    server.serve_forever()
