/** The arithmetic of the grid: how tasks become cells, cells become places, and places become tasks again. */
import { WORST_FIRST } from "./states.ts";

export interface Layout {
  /** Distance of two cells in device pixels. */
  pitch: number;
  cols: number;
  rows: number;
  /** Tasks in one cell. */
  per: number;
  /** For up to how many tasks this layout serves. */
  capacity: number;
}

const LARGEST = 24;
const SMALLEST = 3;

/**
 * The largest cells with which `count` tasks fit into `width` × `height` CSS pixels; when even the smallest are too
 * many, several tasks share a cell. All sizes in the answer are whole device pixels, so that no cell is blurred.
 */
export function layOut(count: number, width: number, height: number, ratio = 1): Layout {
  const w = Math.max(1, Math.floor(width * ratio));
  const h = Math.max(1, Math.floor(height * ratio));
  const smallest = Math.max(1, Math.round(SMALLEST * ratio));
  for (let pitch = Math.round(LARGEST * ratio); pitch >= smallest; pitch--) {
    const cols = Math.max(1, Math.floor(w / pitch));
    const rowsThatFit = Math.max(1, Math.floor(h / pitch));
    if (cols * rowsThatFit >= count) {
      return { pitch, cols, rows: Math.max(1, Math.ceil(count / cols)), per: 1, capacity: cols * rowsThatFit };
    }
  }
  const cols = Math.max(1, Math.floor(w / smallest));
  const rowsThatFit = Math.max(1, Math.floor(h / smallest));
  const per = Math.ceil(count / (cols * rowsThatFit));
  return {
    pitch: smallest,
    cols,
    rows: Math.max(1, Math.ceil(Math.ceil(count / per) / cols)),
    per,
    capacity: cols * rowsThatFit * per,
  };
}

/** Which cell lies at a place given in device pixels; -1 for none. */
export function cellAt(layout: Layout, x: number, y: number, count: number): number {
  const col = Math.floor(x / layout.pitch);
  const row = Math.floor(y / layout.pitch);
  if (col < 0 || row < 0 || col >= layout.cols || row >= layout.rows) return -1;
  const cell = row * layout.cols + col;
  return cell * layout.per < count ? cell : -1;
}

/** The tasks of a cell: first place and the place after the last, counted from the start of what is laid out. */
export function tasksOf(layout: Layout, cell: number, count: number): [number, number] {
  return [cell * layout.per, Math.min((cell + 1) * layout.per, count)];
}

/**
 * What a cell shows: the worst state among its tasks, so that one failure among a thousand is seen, over the state that
 * most of the others have. `wanted` is looked for first. In the answer `code` is what is worst, `base` the rest, and
 * `level` how much of the worst there is, from 0 (all, or nearly) to 3 (hardly any).
 */
export function look(codes: Uint8Array, from: number, to: number, wanted = -1): number {
  if (to - from === 1) return pack(codes[from] ?? 0, 0, 0);
  seen.fill(0);
  for (let n = from; n < to; n++) {
    const code = codes[n] ?? 0;
    seen[code] = (seen[code] ?? 0) + 1;
  }
  let code = wanted >= 0 && seen[wanted] ? wanted : -1;
  for (let i = 0; code < 0 && i < WORST_FIRST.length; i++) if (seen[WORST_FIRST[i] ?? 0]) code = WORST_FIRST[i] ?? 0;
  if (code < 0) return 0;
  const share = (seen[code] ?? 0) / (to - from);
  const level = share >= 0.6 ? 0 : share >= 0.3 ? 1 : share >= 0.1 ? 2 : 3;
  if (level === 0) return pack(code, 0, 0);
  let base = code;
  for (let other = 0; other < seen.length; other++) {
    if (other !== code && (base === code || (seen[other] ?? 0) > (seen[base] ?? 0))) base = other;
  }
  return pack(code, base, level);
}

const seen = new Uint32Array(6);

/** All there is to a look, as one small number. */
export function pack(code: number, base: number, level: number): number {
  return code + 6 * (base + 6 * level);
}

export function unpack(look: number): { code: number; base: number; level: number } {
  return { code: look % 6, base: Math.floor(look / 6) % 6, level: Math.floor(look / 36) };
}

/** How many tasks of each code there are between two places. */
export function tally(codes: Uint8Array, from: number, to: number): number[] {
  const counts = [0, 0, 0, 0, 0, 0];
  for (let n = from; n < to; n++) {
    const code = codes[n] ?? 0;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/** A part of `count` tasks around place `n`, small enough that each has a cell of its own that can be hit well. */
export function closeUp(n: number, count: number, width: number, height: number): [number, number] {
  const comfortable = 9;
  const size = Math.max(50, Math.floor(width / comfortable) * Math.floor(height / comfortable));
  if (size >= count) return [0, count];
  const first = Math.min(Math.max(0, Math.round(n - size / 2)), count - size);
  return [first, first + size];
}
