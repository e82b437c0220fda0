/** Draws the grid: everything when the layout changes, else only the cells that changed. */
import { cellAt, type Layout, layOut, look, tasksOf } from "../model/bins.ts";
import type { Cells } from "../model/cells.ts";
import { cancelFrame, onNextFrame } from "../state/frame.ts";
import { type Palette, readPalette, Stamps } from "./stamps.ts";

/** So many single changes cost about as much as drawing everything. */
const MANY = 3000;
/** Room for growth, so that a growing job is not laid out anew with each task. */
const GROWTH = 1.2;

export class GridCanvas {
  layout: Layout = { pitch: 1, cols: 1, rows: 1, per: 1, capacity: 0 };
  /** First place shown, and the place after the last; null: to the end, however far that moves. */
  private from = 0;
  private until: number | null = null;
  private width = 0;
  private height = 0;
  private ratio = 1;
  private wanted = -1;
  private growing = false;
  private stamps: Stamps | null = null;
  private palette: Palette = readPalette();
  private dirty = new Set<number>();
  private everything = true;
  private relayout = true;
  private readonly context: CanvasRenderingContext2D;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly cells: Cells,
    /** Called when the layout has changed. */
    private readonly onLayout: (layout: Layout) => void,
  ) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    this.context = context;
    cells.listeners.add(this.changed);
  }

  destroy(): void {
    this.cells.listeners.delete(this.changed);
    cancelFrame(this.draw);
  }

  /** How many tasks are shown. */
  get count(): number {
    return Math.max(0, (this.until ?? this.cells.length) - this.from);
  }

  get first(): number {
    return this.from;
  }

  /** `height`: the most that may be used. */
  resize(width: number, height: number): void {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    this.again();
  }

  show(from: number, until: number | null, growing: boolean): void {
    if (from === this.from && until === this.until && growing === this.growing) return;
    this.from = from;
    this.until = until;
    this.growing = growing;
    this.again();
  }

  /** Fades every state but this one. */
  highlight(code: number): void {
    if (code === this.wanted) return;
    this.wanted = code;
    this.stamps = null;
    this.again();
  }

  recolour(): void {
    this.palette = readPalette();
    this.stamps = null;
    this.again();
  }

  /** The tasks at a place in CSS pixels from the canvas's corner: first and past the last; null for none. */
  tasksAt(x: number, y: number): [number, number] | null {
    const cell = cellAt(this.layout, x * this.ratio, y * this.ratio, this.count);
    if (cell < 0) return null;
    const [from, to] = tasksOf(this.layout, cell, this.count);
    return [from + this.from, to + this.from];
  }

  /** Where the cell of a task is, in CSS pixels. */
  boxOf(n: number): { x: number; y: number; size: number } {
    const cell = Math.floor((n - this.from) / this.layout.per);
    const size = this.layout.pitch / this.ratio;
    return { x: (cell % this.layout.cols) * size, y: Math.floor(cell / this.layout.cols) * size, size };
  }

  private again(): void {
    this.relayout = true;
    this.everything = true;
    onNextFrame(this.draw);
  }

  private readonly changed = (first: number, count: number): void => {
    if (count < 0) {
      this.again();
      return;
    }
    const last = Math.min(first + count, this.until ?? Number.POSITIVE_INFINITY) - this.from - 1;
    const start = Math.max(0, first - this.from);
    if (last < start) return;
    if (this.until === null && this.count > this.layout.capacity) {
      this.again();
      return;
    }
    const { per } = this.layout;
    const [a, b] = [Math.floor(start / per), Math.floor(last / per)];
    if (b - a + this.dirty.size > MANY) this.everything = true;
    else for (let cell = a; cell <= b; cell++) this.dirty.add(cell);
    onNextFrame(this.draw);
  };

  private readonly draw = (): void => {
    if (!this.width || !this.height) return;
    if (this.relayout || this.rowsNeeded() > this.layout.rows) this.layOutAnew();
    const stamps = this.stampsNow();
    if (this.everything) this.drawAll(stamps);
    else for (const cell of this.dirty) this.drawOne(stamps, cell);
    this.everything = false;
    this.dirty.clear();
  };

  private rowsNeeded(): number {
    return Math.ceil(Math.ceil(this.count / this.layout.per) / this.layout.cols);
  }

  private layOutAnew(): void {
    let planned = this.layout;
    if (this.relayout || this.count > planned.capacity) {
      const room = this.until === null && this.growing ? Math.ceil(this.count * GROWTH) : this.count;
      planned = layOut(Math.max(1, room), this.width, this.height, this.ratio);
    }
    const rows = Math.max(1, Math.ceil(Math.ceil(this.count / planned.per) / planned.cols));
    this.layout = { ...planned, rows };
    this.relayout = false;
    this.everything = true;
    const { canvas } = this;
    canvas.width = planned.cols * planned.pitch;
    canvas.height = rows * planned.pitch;
    canvas.style.width = `${canvas.width / this.ratio}px`;
    canvas.style.height = `${canvas.height / this.ratio}px`;
    this.onLayout(this.layout);
  }

  private stampsNow(): Stamps {
    if (this.stamps?.pitch !== this.layout.pitch) {
      this.stamps = new Stamps(this.layout.pitch, this.ratio, this.palette, this.wanted);
    }
    return this.stamps;
  }

  private drawAll(stamps: Stamps): void {
    const { cols, pitch, per } = this.layout;
    const { width, height } = this.canvas;
    if (!width || !height) return;
    const image = this.context.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    const codes = this.cells.codes.subarray(this.from, this.from + this.count);
    const total = Math.ceil(this.count / per);
    for (let cell = 0; cell < total; cell++) {
      const stamp = stamps.of(look(codes, cell * per, Math.min((cell + 1) * per, codes.length), this.wanted)).pixels;
      const at = Math.floor(cell / cols) * pitch * width + (cell % cols) * pitch;
      for (let y = 0; y < pitch; y++) {
        const [source, target] = [y * pitch, at + y * width];
        for (let x = 0; x < pitch; x++) out[target + x] = stamp[source + x] ?? 0;
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  private drawOne(stamps: Stamps, cell: number): void {
    const { cols, pitch, per } = this.layout;
    const from = cell * per;
    if (from >= this.count) return;
    const codes = this.cells.codes.subarray(this.from, this.from + this.count);
    const { image } = stamps.of(look(codes, from, Math.min(from + per, codes.length), this.wanted));
    this.context.putImageData(image, (cell % cols) * pitch, Math.floor(cell / cols) * pitch);
  }
}
