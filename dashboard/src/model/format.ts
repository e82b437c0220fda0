/** Numbers and times as people read them. */

const whole = new Intl.NumberFormat("en-US");

export function count(value: number | null | undefined): string {
  return value == null ? "–" : whole.format(value);
}

/** 1,234 as `1.2k`: where there is little room. */
export function short(value: number): string {
  if (value < 10_000) return whole.format(value);
  if (value < 999_500) return `${trim(value / 1000)}k`;
  return `${trim(value / 1_000_000)}M`;
}

function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function percent(part: number, total: number): string {
  if (!total) return "0%";
  const value = (100 * part) / total;
  if (part < total && value > 99.9) return "99.9%";
  if (part > 0 && value < 0.1) return "<0.1%";
  return value >= 10 || Number.isInteger(value) ? `${Math.floor(value)}%` : `${value.toFixed(1)}%`;
}

/** `850 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 0) seconds = 0;
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 0.9995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return parts(Math.floor(s / 60), "min", s % 60, "s");
  const m = Math.round(seconds / 60);
  if (m < 24 * 60) return parts(Math.floor(m / 60), "h", m % 60, "min");
  const h = Math.round(seconds / 3600);
  return parts(Math.floor(h / 24), "d", h % 24, "h");
}

function parts(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`;
}

export function rate(perSecond: number | null | undefined): string {
  if (perSecond == null || perSecond <= 0) return "–";
  if (perSecond >= 1) return `${perSecond >= 100 ? count(Math.round(perSecond)) : trim(perSecond)}/s`;
  if (perSecond * 60 >= 1) return `${trim(perSecond * 60)}/min`;
  return `${trim(perSecond * 3600)}/h`;
}

export function bytes(size: number | null | undefined): string {
  if (size == null) return "–";
  if (size < 1000) return `${size} B`;
  for (const unit of ["kB", "MB", "GB"]) {
    size /= 1000;
    if (size < 999.5 || unit === "GB") return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${unit}`;
  }
  return "";
}

export function megabytes(mb: number | null | undefined): string {
  return mb == null ? "–" : bytes(Math.round(mb * 1_000_000));
}

/** Epoch seconds of an ISO time. */
export function epoch(iso: string | null | undefined): number | null {
  if (!iso) return null;
  const ms = Date.parse(iso);
  return Number.isNaN(ms) ? null : ms / 1000;
}

/** How long ago, in words; `now` in epoch seconds. */
export function ago(iso: string | null | undefined, now: number): string {
  const at = epoch(iso);
  if (at == null) return "–";
  const past = now - at;
  if (past < 5) return "just now";
  if (past < 60) return `${Math.floor(past)} s ago`;
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 86_400) return `${Math.floor(past / 3600)} h ago`;
  return `${Math.floor(past / 86_400)} d ago`;
}

/** Local date and time with seconds. */
export function clock(iso: string | null | undefined): string {
  const at = epoch(iso);
  if (at == null) return "–";
  const date = new Date(at * 1000);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${dayText(date)} `;
  return `${day}${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** The same in little room: of other days, month, day, hour and minute. */
export function shortClock(iso: string | null | undefined): string {
  const text = clock(iso);
  return text.length > 8 ? text.slice(5, -3) : text;
}

export function dayText(date: Date): string {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** A command as it could be typed into a shell. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
