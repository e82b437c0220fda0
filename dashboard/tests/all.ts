import "./ansi.test.ts";
import "./bins.test.ts";
import "./cells.test.ts";
import "./format.test.ts";
import "./layers.test.ts";
import "./route.test.ts";
import "./sse.test.ts";
import "./ticks.test.ts";
