/** Questions to the user: one at a time, answered with a promise. */
import { signal } from "@preact/signals";

export interface Question {
  title: string;
  text: string;
  /** What the button that does it says. */
  action: string;
  danger?: boolean;
  answer: (yes: boolean) => void;
}

export const question = signal<Question | null>(null);

export function confirmed(asked: Omit<Question, "answer">): Promise<boolean> {
  return new Promise((resolve) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}

export const helpOpen = signal(false);
export const submitOpen = signal(false);
