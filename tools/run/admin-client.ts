/**
 * The part of the admin API that a local platform needs, called as an operator would call it. What comes back is parsed:
 * the other side is another program.
 */
import { z } from "zod";
import { PlatformError } from "./problem.ts";

/** An admin call answers within this time, or something is wrong. */
const CALL_MS = 15_000;

const KnownNode = z.object({
  id: z.string(),
  url: z.string(),
  region: z.string(),
  removedAtMs: z.number().nullable(),
  live: z
    .object({
      state: z.string(),
      models: z.array(z.object({ id: z.string(), contextTokens: z.int() })),
      beatAgeMs: z.number(),
    })
    .nullable(),
});
export type KnownNode = z.infer<typeof KnownNode>;

const Nodes = z.object({ nodes: z.array(KnownNode) });
const Made = {
  account: z.object({ account: z.object({ id: z.string(), deletedAtMs: z.number().nullish() }) }),
  key: z.object({ key: z.object({ secret: z.string() }) }),
  joinToken: z.object({ joinToken: z.string() }),
  models: z.object({ models: z.array(z.object({ id: z.string() })) }),
};

export class AdminClient {
  readonly #baseUrl: string;
  readonly #token: string;

  constructor(baseUrl: string, token: string) {
    this.#baseUrl = baseUrl;
    this.#token = token;
  }

  async healthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.#baseUrl}/health`, { signal: AbortSignal.timeout(CALL_MS) });
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }

  async nodes(): Promise<readonly KnownNode[]> {
    const { nodes } = await this.#call("GET", "/nodes?limit=200", Nodes);
    return nodes.filter((node) => node.removedAtMs === null);
  }

  async makeJoinToken(node: { name: string; region: string; url: string }): Promise<string> {
    return (await this.#call("POST", "/nodes/join-tokens", Made.joinToken, node)).joinToken;
  }

  async makeAccount(name: string): Promise<string> {
    return (await this.#call("POST", "/accounts", Made.account, { name })).account.id;
  }

  async accountLives(account: string): Promise<boolean> {
    const { deletedAtMs } = (await this.#call("GET", `/accounts/${account}`, Made.account)).account;
    return typeof deletedAtMs !== "number";
  }

  /** Whether an API key is one still, and may be used. */
  async opens(apiKey: string): Promise<boolean> {
    const response = await fetch(`${this.#baseUrl}/v1/key`, {
      headers: { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(CALL_MS),
    });
    await response.body?.cancel();
    return response.status !== 401;
  }

  /** Giving a credit twice under one id credits once. */
  async credit(account: string, creditId: string, amountUsd: string): Promise<void> {
    await this.#call("POST", `/accounts/${account}/credits`, z.unknown(), {
      creditId,
      amountUsd,
      note: creditId,
    });
  }

  async makeKey(account: string, name: string): Promise<string> {
    return (await this.#call("POST", `/accounts/${account}/keys`, Made.key, { name })).key.secret;
  }

  async models(): Promise<readonly string[]> {
    return (await this.#call("GET", "/models", Made.models)).models.map((model) => model.id);
  }

  async putModel(id: string, model: object): Promise<void> {
    await this.#call("PUT", `/models/${id}`, z.unknown(), model);
  }

  async putAlias(alias: string, model: string, thinkingDefault: boolean): Promise<void> {
    await this.#call("PUT", `/aliases/${alias}`, z.unknown(), { model, thinkingDefault });
  }

  async #call<Shape extends z.ZodType>(
    method: string,
    path: string,
    shape: Shape,
    body?: object,
  ): Promise<z.infer<Shape>> {
    const response = await fetch(`${this.#baseUrl}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_MS),
    });
    const text = await response.text();
    if (!response.ok)
      throw new PlatformError(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return shape.parse(JSON.parse(text));
  }
}
