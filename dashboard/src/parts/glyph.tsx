/** The signs of the states: a shape for each, so that colour is never alone. */
import type { JSX } from "preact";
import type { JobState } from "../api/types.ts";
import type { CellState } from "../model/states.ts";

export type AnyState = CellState | JobState | "paused";

const SHAPES: Record<AnyState, JSX.Element> = {
  pending: <circle cx="8" cy="8" r="5.6" class="g-line" stroke-dasharray="2.2 2.2" />,
  waiting: <circle cx="8" cy="8" r="5.6" class="g-line" stroke-dasharray="2.2 2.2" />,
  running: (
    <>
      <circle cx="8" cy="8" r="5.6" class="g-line" />
      <path d="M8 4.6a3.4 3.4 0 0 1 0 6.8z" class="g-fill" />
    </>
  ),
  working: (
    <>
      <circle cx="8" cy="8" r="5.6" class="g-line" />
      <path d="M8 4.6a3.4 3.4 0 0 1 0 6.8z" class="g-fill" />
    </>
  ),
  completed: (
    <>
      <circle cx="8" cy="8" r="6.6" class="g-fill" />
      <path d="m5.2 8.2 2 2 3.7-4" class="g-cut" />
    </>
  ),
  failed: (
    <>
      <path d="M5.2 1.4h5.6l3.8 3.8v5.6l-3.8 3.8H5.2l-3.8-3.8V5.2z" class="g-fill" />
      <path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4" class="g-cut" />
    </>
  ),
  skipped: (
    <>
      <circle cx="8" cy="8" r="5.6" class="g-line" />
      <path d="M5.4 5.7 7.7 8l-2.3 2.3M8.5 5.7 10.8 8l-2.3 2.3" class="g-line" />
    </>
  ),
  cancelled: (
    <>
      <circle cx="8" cy="8" r="5.6" class="g-line" />
      <path d="m4.2 11.8 7.6-7.6" class="g-line" />
    </>
  ),
  paused: (
    <>
      <circle cx="8" cy="8" r="6.6" class="g-fill" />
      <path d="M6.4 5.6v4.8M9.6 5.6v4.8" class="g-cut" />
    </>
  ),
};

export function Glyph({ state, label }: { state: AnyState; label?: string }) {
  return (
    <svg
      class={`glyph s-${state}`}
      viewBox="0 0 16 16"
      width="16"
      height="16"
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" })}
    >
      {SHAPES[state]}
    </svg>
  );
}

export function StateLabel({ state, text }: { state: AnyState; text?: string }) {
  return (
    <span class={`state s-${state}`}>
      <Glyph state={state} />
      <span>{text ?? state}</span>
    </span>
  );
}

/** The signs of what can be done. */
const ICONS = {
  plus: "M8 3v10M3 8h10",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zm3.3-1.2L14 14",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M12.8 3.2l-1.1 1.1M4.3 11.7l-1.1 1.1",
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1z",
  auto: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M10.5 3.2v9.6M12.7 5v6",
  help: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM6.2 6.3a1.8 1.8 0 1 1 2.6 1.6c-.5.3-.8.6-.8 1.3M8 11.3v.1",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.5 8z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.2v2.7h-2.7",
  stop: "M4 4l8 8M12 4l-8 8",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  up: "M8 13V3.5M4 7.5l4-4 4 4",
  down: "M8 3v9.5M4 8.5l4 4 4-4",
  left: "M10 3.5 5.5 8l4.5 4.5",
  right: "M6 3.5 10.5 8 6 12.5",
  warn: "M8 2.2 14.5 13.5h-13zM8 6.4v3.4M8 11.6v.1",
  download: "M8 2.5v7.5M4.5 7 8 10.5 11.5 7M3 13.2h10",
  history: "M2.6 8a5.4 5.4 0 1 0 1.7-4M2.6 2.4v2.8h2.8M8 5v3.2l2.2 1.4",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5.2a2.5 2.5 0 0 1 5 0v2.3",
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}
