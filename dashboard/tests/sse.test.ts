import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../src/api/sse.ts";

const STREAM =
  "\ufeff: hello\r\nid: r1@10\r\nevent: snapshot\r\ndata: {\"a\":1}\r\n\r\n: ping\n\nevent: delta\ndata: one\ndata:two\n\n" +
  "id: r1@20\rdata:  spaced\r\rdata\n\nevent: nothing\n\nretry: 5\ndata: last\n\ndata: unfinished";

const EVENTS = [
  { event: "snapshot", data: '{"a":1}', id: "r1@10" },
  { event: "delta", data: "one\ntwo", id: "r1@10" },
  { event: "message", data: " spaced", id: "r1@20" },
  { event: "message", data: "", id: "r1@20" },
  { event: "message", data: "last", id: "r1@20" },
];

test("events come out whole, however the stream is cut", () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < STREAM.length; at += size) found.push(...parser.push(STREAM.slice(at, at + size)));
    assert.deepEqual(found, EVENTS, `in pieces of ${size}`);
  }
});
