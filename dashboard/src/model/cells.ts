import type { CellRun } from "../api/types.ts";

/**
 * The state code of every task of a job, one byte each, in list order.
 *
 * Whoever draws listens for what changed, so that a delta costs as much as it changes and not as much as there is.
 */
export class Cells {
  private store: Uint8Array = new Uint8Array(1024);
  length = 0;
  /** Called with first place and how many; with (0, -1) when everything may have changed. */
  readonly listeners = new Set<(first: number, count: number) => void>();

  /** The codes, for reading; valid until the next change. */
  get codes(): Uint8Array {
    return this.store.subarray(0, this.length);
  }

  at(n: number): number {
    return this.store[n] ?? 0;
  }

  replace(codes: Uint8Array): void {
    this.store = codes.length ? codes : new Uint8Array(1024);
    this.length = codes.length;
    this.tell(0, -1);
  }

  /** Sets runs of cells; places past the end are new tasks. */
  apply(runs: readonly CellRun[]): void {
    for (const [first, count, code] of runs) {
      if (first < 0 || count <= 0) continue;
      this.reserve(first + count);
      this.store.fill(code, first, first + count);
      if (first + count > this.length) this.length = first + count;
      this.tell(first, count);
    }
  }

  private reserve(size: number): void {
    if (size <= this.store.length) return;
    const larger = new Uint8Array(Math.max(size, Math.ceil(this.store.length * 1.5)));
    larger.set(this.codes);
    this.store = larger;
  }

  private tell(first: number, count: number): void {
    for (const listener of this.listeners) listener(first, count);
  }
}
