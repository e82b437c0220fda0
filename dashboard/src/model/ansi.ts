/** Terminal output as styled text: colours and weight are kept, everything else a terminal would obey is dropped. */

export interface Style {
  /** 0–255 of the palette, or `#rrggbb`. */
  fg: number | string | null;
  bg: number | string | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
  strike: boolean;
}

export interface Piece {
  text: string;
  /** null: plain. */
  style: Style | null;
}

const PLAIN: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  strike: false,
};

// CSI sequences (the first group holds the parameters, the second the final byte), OSC, DCS and the like up to their
// end, two-byte escapes, and control characters other than tab.
const SEQUENCE =
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

/** Reads lines one after the other; a colour that is not switched off holds for the next line too. */
export class AnsiReader {
  private style: Style | null = null;

  line(line: string): Piece[] {
    line = lastOverwrite(line);
    const pieces: Piece[] = [];
    let from = 0;
    SEQUENCE.lastIndex = 0;
    for (let found = SEQUENCE.exec(line); found; found = SEQUENCE.exec(line)) {
      this.add(pieces, line.slice(from, found.index));
      from = SEQUENCE.lastIndex;
      if (found[2] === "m") this.style = restyle(this.style, found[1] ?? "");
    }
    this.add(pieces, line.slice(from));
    return pieces;
  }

  private add(pieces: Piece[], text: string): void {
    if (text) pieces.push({ text, style: this.style });
  }
}

/** Progress bars write over their line again and again: what stands there at the end is what a terminal shows. */
function lastOverwrite(line: string): string {
  while (line.endsWith("\r")) line = line.slice(0, -1);
  return line.slice(line.lastIndexOf("\r") + 1);
}

function restyle(before: Style | null, parameters: string): Style | null {
  const style = { ...(before ?? PLAIN) };
  const codes = parameters.split(/[;:]/).map((part) => (part === "" ? 0 : Number(part)));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 0) Object.assign(style, PLAIN);
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.strike = false;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code === 39) style.fg = null;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code === 49) style.bg = null;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, i + 1);
      i += used;
      if (colour !== undefined) style[code === 38 ? "fg" : "bg"] = colour;
    }
  }
  return Object.entries(PLAIN).every(([key, value]) => style[key as keyof Style] === value) ? null : style;
}

/** `5;N` of the palette or `2;R;G;B`, and how many codes that took. */
function extended(codes: number[], at: number): [number | string | undefined, number] {
  if (codes[at] === 5) {
    const n = codes[at + 1] ?? -1;
    return [n >= 0 && n <= 255 ? n : undefined, 2];
  }
  if (codes[at] === 2) {
    const rgb = [codes[at + 1], codes[at + 2], codes[at + 3]];
    const valid = rgb.every((part): part is number => part !== undefined && part >= 0 && part <= 255);
    return [valid ? `#${rgb.map((part) => part.toString(16).padStart(2, "0")).join("")}` : undefined, 4];
  }
  return [undefined, 1];
}

const LEVELS = [0, 95, 135, 175, 215, 255];

/** Colours 16–255 of the palette; the first sixteen belong to the theme. */
export function paletteColour(n: number): string {
  if (n >= 232) {
    const grey = 8 + (n - 232) * 10;
    return `rgb(${grey}, ${grey}, ${grey})`;
  }
  const cube = n - 16;
  return `rgb(${LEVELS[Math.floor(cube / 36)]}, ${LEVELS[Math.floor(cube / 6) % 6]}, ${LEVELS[cube % 6]})`;
}
