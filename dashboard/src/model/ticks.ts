/** Where a time axis has its marks. */

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
];

/** The step (s) with which a span of `seconds` over `width` pixels has a mark about every `apart` pixels. */
export function tickStep(seconds: number, width: number, apart = 90): number {
  const wanted = (seconds * apart) / Math.max(1, width);
  return STEPS.find((step) => step >= wanted) ?? 604_800;
}

export function ticks(from: number, to: number, step: number): number[] {
  const found: number[] = [];
  const first = Math.ceil(from / step);
  for (let i = first; i * step <= to && found.length < 100; i++) found.push(i * step);
  return found;
}

/** Time since the start as `0:05`, `1:02:03` or `0:05.250`, as fine as the step needs it. */
export function sinceStart(seconds: number, step: number): string {
  const sign = seconds < 0 ? "−" : "";
  const all = Math.abs(seconds);
  const digits = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const scale = 10 ** digits;
  const units = Math.round(all * scale);
  const h = Math.floor(units / scale / 3600);
  const m = Math.floor(units / scale / 60) % 60;
  const s = (units - (h * 3600 + m * 60) * scale) / scale;
  const text = s.toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return h ? `${sign}${h}:${String(m).padStart(2, "0")}:${text}` : `${sign}${m}:${text}`;
}
