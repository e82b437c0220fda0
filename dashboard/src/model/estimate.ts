import type { Estimate } from "../api/types.ts";
import { duration } from "./format.ts";

/** How long it will take, with how sure that is. */
export function estimateText(estimate: Estimate | null): { short: string; spread: string | null } {
  if (!estimate) return { short: "–", spread: null };
  const [low, high] = [duration(estimate.low), duration(estimate.high)];
  return { short: duration(estimate.mid), spread: low === high ? null : `${low} to ${high}` };
}
