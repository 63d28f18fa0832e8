import { codedOf, type Coded } from "./errors.ts";

export type Toast = { id: number; text: string; coded: Coded | null; undo: (() => void) | null };

const SHOWN_MAX = 4;
const MS = 7000;

/** Short news at the edge of the page. Errors stay until they are dismissed. */
class Toasts {
  list = $state<Toast[]>([]);
  private next = 1;

  say(text: string, undo: (() => void) | null = null): void {
    const id = this.add({ text, coded: null, undo });
    setTimeout(() => this.dismiss(id), MS);
  }

  fail(error: unknown): void {
    const coded = codedOf(error);
    this.add({ text: coded.reason, coded, undo: null });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  private add(toast: Omit<Toast, "id">): number {
    const id = this.next++;
    this.list = [...this.list, { ...toast, id }].slice(-SHOWN_MAX);
    return id;
  }
}

export const toasts = new Toasts();
