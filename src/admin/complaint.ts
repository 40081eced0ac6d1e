/**
 * What the admin interface says when it cannot do what was asked: `{"error":{"code","message","issues"}}`, with one
 * issue per field, so that a person can mend all of them at once and a program can point at them.
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";

export type Issue = {
  /** The field as a path, `price.inputMicroUsdPerM`; "" for the whole. */
  readonly param: string;
  readonly message: string;
};

const STATUS = {
  invalid_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  too_slow: 408,
  conflict: 409,
  too_large: 413,
  storage_unavailable: 503,
  overloaded: 503,
  admin_closed: 503,
  internal: 500,
} as const satisfies { readonly [code: string]: ContentfulStatusCode };

export class Complaint extends Error {
  override readonly name = "Complaint";
  readonly code: keyof typeof STATUS;
  readonly issues: readonly Issue[];

  constructor(code: keyof typeof STATUS, message: string, issues: readonly Issue[] = []) {
    super(message);
    this.code = code;
    this.issues = issues;
  }

  get status(): ContentfulStatusCode {
    return STATUS[this.code];
  }

  body(): { readonly error: { code: string; message: string; issues: readonly Issue[] } } {
    return { error: { code: this.code, message: this.message, issues: this.issues } };
  }
}

/** One field that is wrong for a reason no schema can know. */
export function wrong(param: string, message: string): Complaint {
  return new Complaint("invalid_request", `${param}: ${message}`, [{ param, message }]);
}

export function fromZod(error: z.ZodError): Complaint {
  const issues = error.issues.map((issue) => ({
    param: issue.path.map(String).join("."),
    message: issue.message,
  }));
  const [first] = issues;
  const where = first === undefined || first.param === "" ? "" : `${first.param}: `;
  return new Complaint("invalid_request", `${where}${first?.message ?? "the request is malformed"}`, issues);
}
