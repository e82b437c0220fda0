/** Draws lanes × time, and says what lies where. */
import type { Span } from "../api/types.ts";
import { sinceStart, ticks, tickStep } from "../model/ticks.ts";
import { cancelFrame, onNextFrame } from "../state/frame.ts";
import { colour } from "../state/theme.ts";
import { readPalette } from "./stamps.ts";

const AXIS = 22;
const TALLEST = 26;
const LOWEST = 3;
const HIGHEST_BOX = 6000;

export class TimelineCanvas {
  /** The time shown, epoch seconds. */
  from = 0;
  to = 1;
  /** What the axis counts from. */
  began = 0;
  /** The server's present moment: running attempts reach to it. */
  now = 0;
  wanted = -1;
  lanes = 0;
  private lane: Span[][] = [];
  private width = 0;
  private height = 0;
  private ratio = 1;
  private palette = readPalette();
  private readonly context: CanvasRenderingContext2D;

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    this.context = context;
  }

  destroy(): void {
    cancelFrame(this.draw);
  }

  get laneHeight(): number {
    const lanes = Math.max(1, this.lanes);
    // Browsers have no canvas of any height: of very many lanes, several share a pixel.
    return Math.min(Math.max(LOWEST, Math.min(TALLEST, (this.height - AXIS) / lanes)), HIGHEST_BOX / lanes);
  }

  /** The height that all lanes need. */
  get neededHeight(): number {
    return AXIS + this.laneHeight * Math.max(1, this.lanes);
  }

  resize(width: number, height: number): void {
    this.width = width;
    this.height = height;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.redraw();
  }

  setSpans(spans: readonly Span[], lanes: number): void {
    this.lanes = lanes;
    this.lane = Array.from({ length: lanes }, () => []);
    for (const span of spans) this.lane[span[0]]?.push(span);
    for (const row of this.lane) row.sort((a, b) => a[2] - b[2]);
    this.redraw();
  }

  recolour(): void {
    this.palette = readPalette();
    this.redraw();
  }

  redraw(): void {
    onNextFrame(this.draw);
  }

  timeAt(x: number): number {
    return this.from + (x / Math.max(1, this.width)) * (this.to - this.from);
  }

  /** The attempt at a place in CSS pixels; very short ones can be hit two pixels beside. */
  spanAt(x: number, y: number): Span | null {
    const row = this.lane[Math.floor((y - AXIS) / this.laneHeight)];
    if (!row || y < AXIS) return null;
    const slack = (2 / Math.max(1, this.width)) * (this.to - this.from);
    const at = this.timeAt(x);
    let [low, high] = [0, row.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((row[middle]?.[2] ?? 0) <= at + slack) low = middle + 1;
      else high = middle;
    }
    for (const span of [row[low - 1], row[low - 2]]) {
      if (span && span[2] - slack <= at && (span[3] ?? this.now) + slack >= at) return span;
    }
    return null;
  }

  private readonly draw = (): void => {
    const { context, ratio } = this;
    if (!this.width) return;
    const height = this.neededHeight;
    const [w, h] = [Math.round(this.width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
      this.canvas.style.height = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, height);
    this.drawAxis(height);
    const gap = this.laneHeight >= 8 ? 2 : this.laneHeight >= 5 ? 1 : 0;
    const scale = this.width / (this.to - this.from);
    this.lane.forEach((row, index) => {
      const y = AXIS + index * this.laneHeight;
      let drawnTo = Number.NEGATIVE_INFINITY;
      for (const [, , started, ended, code] of row) {
        const end = ended ?? this.now;
        if (end < this.from || started > this.to) continue;
        const left = Math.max(-2, (started - this.from) * scale);
        const right = Math.min(this.width + 2, (end - this.from) * scale);
        // Of many attempts within one pixel only the first is drawn, except that failures always are.
        if (right < drawnTo && code !== 3) continue;
        const width = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
        context.globalAlpha = this.wanted >= 0 && code !== this.wanted ? 0.15 : 1;
        context.fillStyle = this.palette.fills[code] ?? "gray";
        context.fillRect(left, y, width, this.laneHeight - gap);
        drawnTo = left + width;
        this.drawSign(code, left, y, width, this.laneHeight - gap, ended === null);
      }
    });
    context.globalAlpha = 1;
    const nowX = (this.now - this.from) * scale;
    if (nowX >= 0 && nowX <= this.width) {
      context.fillStyle = colour("--accent");
      context.fillRect(nowX, 0, 1, height);
    }
  };

  /** Failures are crossed and running attempts open to the right, where there is room to see it. */
  private drawSign(code: number, x: number, y: number, width: number, height: number, running: boolean): void {
    const { context } = this;
    if (height < 8 || width < 10) return;
    context.strokeStyle = context.fillStyle = this.palette.cut;
    context.lineWidth = 1.5;
    const [cx, cy, r] = [x + 7, y + height / 2, Math.min(3.2, height / 4)];
    context.beginPath();
    if (code === 3) {
      context.moveTo(cx - r, cy - r);
      context.lineTo(cx + r, cy + r);
      context.moveTo(cx + r, cy - r);
      context.lineTo(cx - r, cy + r);
    } else if (code === 5) {
      context.moveTo(cx - r, cy + r);
      context.lineTo(cx + r, cy - r);
    } else if (running) {
      context.moveTo(x + width - 6, cy - r);
      context.lineTo(x + width - 6 + r, cy);
      context.lineTo(x + width - 6, cy + r);
    }
    context.stroke();
  }

  private drawAxis(height: number): void {
    const { context } = this;
    const span = this.to - this.from;
    const step = tickStep(span, this.width);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const [line, text] = [colour("--line"), colour("--muted")];
    if (this.laneHeight >= 8) {
      context.fillStyle = colour("--track");
      for (let lane = 0; lane < this.lanes; lane++) {
        context.fillRect(0, AXIS + lane * this.laneHeight, this.width, this.laneHeight - 2);
      }
    }
    for (const tick of ticks(this.from - this.began, this.to - this.began, step)) {
      const x = ((tick + this.began - this.from) / span) * this.width;
      context.fillStyle = line;
      context.fillRect(Math.round(x), 0, 1, height);
      context.fillStyle = text;
      context.fillText(sinceStart(tick, step), Math.round(x) + 4, 10);
    }
  }
}
