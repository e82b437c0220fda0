/** The pictures of cells: one per state and size, drawn once, then copied as pixels. */
import { unpack } from "../model/bins.ts";
import { CELL_STATES } from "../model/states.ts";
import { colour } from "../state/theme.ts";

export interface Stamp {
  /** pitch × pitch */
  pixels: Uint32Array;
  /** The same, for single changes. */
  image: ImageData;
}

export interface Palette {
  fills: string[];
  cut: string;
}

export function readPalette(): Palette {
  return {
    fills: CELL_STATES.map((state) => colour(`--fill-${state}`)),
    cut: colour("--surface"),
  };
}

/** Below this many device pixels a glyph cannot be told. */
const GLYPH_FROM = 11;

/** How strongly the worst state covers the others in a cell that many tasks share. */
const COVERS = [1, 0.86, 0.7, 0.52];

export class Stamps {
  private readonly made: (Stamp | undefined)[] = [];
  private readonly context: CanvasRenderingContext2D;

  constructor(
    readonly pitch: number,
    private readonly ratio: number,
    private readonly palette: Palette,
    /** Fade all states but this one; -1: none. */
    private readonly wanted: number,
  ) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = pitch;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("this browser has no canvas");
    this.context = context;
  }

  /** The picture of what `look` has seen. */
  of(look: number): Stamp {
    return (this.made[look] ??= this.make(look));
  }

  private make(look: number): Stamp {
    const { context, pitch } = this;
    const { code, base, level } = unpack(look);
    const strength = this.wanted >= 0 && code !== this.wanted ? 0.16 : 1;
    context.clearRect(0, 0, pitch, pitch);
    if (level > 0) {
      context.globalAlpha = this.wanted >= 0 ? 0.16 : 1;
      this.draw(base);
    }
    context.globalAlpha = strength * (COVERS[level] ?? 1);
    this.draw(code);
    const image = context.getImageData(0, 0, pitch, pitch);
    return { image, pixels: new Uint32Array(image.data.buffer) };
  }

  private draw(code: number): void {
    drawCell(this.context, code, this.pitch, this.ratio, this.palette.fills[code] ?? "gray", this.palette.cut);
  }
}

function drawCell(
  context: CanvasRenderingContext2D,
  code: number,
  pitch: number,
  ratio: number,
  fill: string,
  cut: string,
): void {
  const gap = pitch >= 12 * ratio ? Math.max(2, Math.round(2 * ratio)) : pitch >= 4 ? Math.max(1, Math.round(ratio / 2)) : 0;
  const size = pitch - gap;
  const state = CELL_STATES[code];
  context.fillStyle = fill;
  if (size < 5) {
    context.fillRect(0, 0, size, size);
    return;
  }
  const radius = Math.min(3 * ratio, size / 5);
  context.beginPath();
  context.roundRect(0, 0, size, size, radius);
  context.fill();
  if (size < GLYPH_FROM) {
    // Too small for a sign: failures are cut through, so that they differ in shape as well.
    if (state === "failed" && size >= 6) {
      line(context, cut, Math.max(1, size / 6), [
        [size * 0.2, size * 0.2],
        [size * 0.8, size * 0.8],
      ]);
    }
    return;
  }
  const at = (x: number, y: number): [number, number] => [x * size, y * size];
  const width = Math.max(1, size / 9);
  if (state === "completed") line(context, cut, width, [at(0.27, 0.53), at(0.44, 0.69), at(0.74, 0.33)]);
  else if (state === "failed") {
    line(context, cut, width, [at(0.29, 0.29), at(0.71, 0.71)]);
    line(context, cut, width, [at(0.71, 0.29), at(0.29, 0.71)]);
  } else if (state === "running") {
    context.fillStyle = cut;
    context.beginPath();
    context.moveTo(...at(0.36, 0.26));
    context.lineTo(...at(0.76, 0.5));
    context.lineTo(...at(0.36, 0.74));
    context.fill();
  } else if (state === "pending") {
    context.fillStyle = cut;
    context.beginPath();
    context.arc(size / 2, size / 2, size * 0.11, 0, 2 * Math.PI);
    context.fill();
  } else if (state === "skipped") {
    line(context, cut, width, [at(0.3, 0.3), at(0.5, 0.5), at(0.3, 0.7)]);
    line(context, cut, width, [at(0.54, 0.3), at(0.74, 0.5), at(0.54, 0.7)]);
  } else if (state === "cancelled") line(context, cut, width, [at(0.28, 0.72), at(0.72, 0.28)]);
}

function line(
  context: CanvasRenderingContext2D,
  stroke: string,
  width: number,
  points: readonly (readonly [number, number])[],
): void {
  context.strokeStyle = stroke;
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}
