/**
 * Calls to the platform, mostly to its admin API. A refusal becomes a sentence, with the fields it is about and what to do next. The token is in
 * no message.
 */
import { z } from "zod";
import { Complaint, EXIT } from "./complaint.ts";
import type { Target } from "./target.ts";

/** An answer takes no longer than this, or something is wrong. */
const CALL_MS = 20_000;
/** Pages of `--all`: more rows than anybody reads. */
const PAGES_MAX = 1_000;

const Refused = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    issues: z.array(z.object({ param: z.string(), message: z.string() })).default([]),
  }),
});

const NEXT: { readonly [code: string]: string } = {
  unauthenticated:
    "check --token or SLUICE_ADMIN_TOKEN: it is neither this platform's admin token nor a key that is still good",
  forbidden: "ask for a key with that scope, or use the operator's token",
  admin_closed: "set the secret with: wrangler secret put SLUICE_ADMIN_TOKEN",
  storage_unavailable: "try again in a moment; whatever was done already is not done twice",
  internal: "the Worker's log says more; asking again does no harm",
};

export class AdminApi {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  /** The answer as `shape` has it; fields it does not name are kept, for `--json`. */
  call<Shape extends z.ZodType>(
    shape: Shape,
    method: string,
    path: string,
    body?: object,
  ): Promise<z.infer<Shape>> {
    return this.#ask(shape, method, `/admin/v1${path}`, body);
  }

  /** What is not the operator's alone: `/v1/...` with an account's key as the token, and what is public. */
  get<Shape extends z.ZodType>(shape: Shape, path: string): Promise<z.infer<Shape>> {
    return this.#ask(shape, "GET", path);
  }

  async #ask<Shape extends z.ZodType>(
    shape: Shape,
    method: string,
    path: string,
    body?: object,
  ): Promise<z.infer<Shape>> {
    const { status, text } = await this.#send(method, path, body);
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      throw this.#notOurs(status);
    }
    if (status >= 400) {
      const refused = Refused.safeParse(answer);
      if (!refused.success) throw this.#notOurs(status);
      const { code, message, issues } = refused.data.error;
      throw new Complaint(EXIT.refused, message, { issues, next: NEXT[code] });
    }
    const parsed = shape.safeParse(answer);
    if (!parsed.success) throw this.#notOurs(status);
    return parsed.data;
  }

  /** Every page of a list, one after the other, where `all` is set; else the one that was asked for. */
  async list<Shape extends z.ZodType<{ next: string | null }>>(
    shape: Shape,
    path: string,
    page: {
      readonly limit?: string | undefined;
      readonly cursor?: string | undefined;
      readonly all?: boolean;
      /** The last page that is wanted. */
      readonly until?: (page: z.infer<Shape>) => boolean;
    },
  ): Promise<z.infer<Shape>[]> {
    const pages: z.infer<Shape>[] = [];
    let { cursor } = page;
    while (pages.length < PAGES_MAX) {
      const query = new URLSearchParams();
      if (page.limit !== undefined) query.set("limit", page.limit);
      if (cursor !== undefined) query.set("cursor", cursor);
      const joint = path.includes("?") ? "&" : "?";
      const asked = await this.call(shape, "GET", query.size === 0 ? path : `${path}${joint}${query}`);
      pages.push(asked);
      if (page.all !== true || asked.next === null || page.until?.(asked) === true) break;
      cursor = asked.next;
    }
    return pages;
  }

  async #send(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
    const { baseUrl, token } = this.#target;
    try {
      const response = await fetch(`${baseUrl}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // A redirect would carry the token to a place nobody named.
        redirect: "manual",
        signal: AbortSignal.timeout(CALL_MS),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      const late = error instanceof Error && error.name === "TimeoutError";
      const why = late ? `did not answer within ${CALL_MS / 1_000} s` : "cannot be reached";
      throw new Complaint(EXIT.unreachable, `${baseUrl} ${why}`, {
        next: "is the platform running there? npm start runs one here; --url names another",
      });
    }
  }

  #notOurs(status: number): Complaint {
    return new Complaint(
      EXIT.unreachable,
      `${this.#target.baseUrl} answered ${status}, but not as Sluice does`,
      { next: "check --url: it names the platform's origin, without a path" },
    );
  }
}
