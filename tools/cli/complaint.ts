/**
 * What can go wrong with a command, with what to do next. The exit code says whose turn it is: 1 the platform refused,
 * 2 the command was wrong, 3 the platform could not be reached.
 */

export const EXIT = { ok: 0, refused: 1, usage: 2, unreachable: 3 } as const;

export type Issue = { readonly param: string; readonly message: string };

export class Complaint extends Error {
  override readonly name = "Complaint";
  readonly exit: number;
  readonly issues: readonly Issue[];
  readonly next: string | undefined;

  constructor(
    exit: number,
    message: string,
    more: { readonly issues?: readonly Issue[]; readonly next?: string | undefined } = {},
  ) {
    super(message);
    this.exit = exit;
    this.issues = more.issues ?? [];
    this.next = more.next;
  }
}

/** The command itself is wrong; nothing was sent. */
export function misused(message: string, next?: string): Complaint {
  return new Complaint(EXIT.usage, message, { next });
}
