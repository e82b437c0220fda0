import assert from "node:assert/strict";
import { test } from "node:test";
import { AnsiReader, paletteColour } from "../src/model/ansi.ts";

const texts = (line: string) => new AnsiReader().line(line).map(({ text }) => text);

test("colours are kept and carried to the next line", () => {
  const reader = new AnsiReader();
  const [plain, red] = reader.line("ok \x1b[1;31mbad");
  assert.equal(plain?.style, null);
  assert.equal(red?.text, "bad");
  assert.equal(red?.style?.fg, 1);
  assert.equal(red?.style?.bold, true);
  assert.equal(reader.line("still")[0]?.style?.fg, 1);
  assert.equal(reader.line("\x1b[0mover")[0]?.style, null);
});

test("all forms of colour", () => {
  const style = (codes: string) => new AnsiReader().line(`\x1b[${codes}mx`)[0]?.style;
  assert.equal(style("93")?.fg, 11);
  assert.equal(style("104")?.bg, 12);
  assert.equal(style("38;5;208")?.fg, 208);
  assert.equal(style("48;2;1;2;255")?.bg, "#0102ff");
  assert.equal(style("38:5:208")?.fg, 208);
  assert.equal(style("38;2;999;0;0"), null);
  assert.equal(style("38;5"), null);
  assert.equal(style("31;39"), null);
  assert.equal(paletteColour(16), "rgb(0, 0, 0)");
  assert.equal(paletteColour(231), "rgb(255, 255, 255)");
  assert.equal(paletteColour(232), "rgb(8, 8, 8)");
});

test("whatever else a terminal would obey is dropped", () => {
  assert.deepEqual(texts("a\x1b[2Jb\x1b[10;20Hc"), ["a", "b", "c"]);
  assert.deepEqual(texts("\x1b]0;title\x07text"), ["text"]);
  assert.deepEqual(texts("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), ["link"]);
  assert.deepEqual(texts("a\x07\x00b\x1b(Bc"), ["a", "b", "c"]);
  assert.deepEqual(texts("unfinished \x1b["), ["unfinished "]);
  assert.deepEqual(texts("tab\tstays"), ["tab\tstays"]);
});

test("of a line written over and over, the last writing shows", () => {
  assert.deepEqual(texts("10%\r50%\r100%"), ["100%"]);
  assert.deepEqual(texts("windows\r"), ["windows"]);
});

test("markup is text", () => {
  assert.deepEqual(texts("<img src=x onerror=alert(1)>"), ["<img src=x onerror=alert(1)>"]);
});
