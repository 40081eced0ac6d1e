/**
 * What an end-to-end test needs of a running platform: accounts with money, the official SDK pointed at it, and the row
 * that a request left behind. Everything goes through public interfaces; rows are waited for, never slept for.
 */
import OpenAI from "openai";
import { setTimeout as delay } from "node:timers/promises";
import type { Platform } from "../../tools/run/platform.ts";

export type UsageRow = {
  readonly request: string;
  readonly revision: number;
  readonly certainty: string;
  readonly ended: string;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  readonly costNanoUsd: number;
  readonly model: string;
  readonly attempts: readonly {
    readonly ordinal: number;
    readonly node: string | null;
    readonly ended: string;
    readonly to: number;
  }[];
};

export type Tenant = {
  readonly account: string;
  readonly apiKey: string;
  readonly keyId: string;
};

export type Status = {
  readonly balanceNanoUsd: number;
  readonly heldNanoUsd: number;
  readonly holdsOpen: number;
  readonly holdsPending: number;
  readonly lastSeq: number;
  readonly eventsUnprojected: number;
};

const POLL_MS = 50;

/** Waits until `look` finds something; fails with what was waited for. */
export async function eventually<Found>(
  what: string,
  withinMs: number,
  look: () => Promise<Found | undefined> | Found | undefined,
): Promise<Found> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > endMs) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await delay(POLL_MS);
  }
}

/** How many slots of a node are busy, by its own metrics. */
export async function slotsBusy(nodeUrl: string): Promise<number> {
  const text = await (await fetch(`${nodeUrl}/metrics`)).text();
  const line = text.split("\n").find((candidate) => /^\w*slots_busy\b/.test(candidate));
  if (line === undefined) throw new Error("the node's metrics do not say how many slots are busy");
  return Number(line.split(" ").at(-1));
}

export class Stack {
  readonly platform: Platform;

  constructor(platform: Platform) {
    this.platform = platform;
  }

  /** A call to the admin API. Throws with the answer where it is not a success. */
  async admin<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.platform.baseUrl}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.platform.adminToken}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as Answer;
  }

  async tenant(
    settings: {
      readonly creditUsd?: string;
      readonly creditNanoUsd?: number;
      readonly concurrency?: number;
      readonly requestsPerMinute?: number;
    } = {},
  ): Promise<Tenant> {
    const { creditUsd = "10", creditNanoUsd, ...limits } = settings;
    const made = await this.admin<{ account: { id: string } }>("POST", "/accounts", {
      name: "test",
      ...limits,
    });
    const account = made.account.id;
    const amount = creditNanoUsd === undefined ? { amountUsd: creditUsd } : { amountNanoUsd: creditNanoUsd };
    await this.admin("POST", `/accounts/${account}/credits`, { creditId: "first", ...amount });
    const { key } = await this.admin<{ key: { id: string; secret: string } }>(
      "POST",
      `/accounts/${account}/keys`,
      { name: "test" },
    );
    return { account, apiKey: key.secret, keyId: key.id };
  }

  /** The official SDK; no retries of its own unless asked for, so that a test sees every answer. */
  sdk(tenant: Tenant, maxRetries = 0): OpenAI {
    return new OpenAI({ apiKey: tenant.apiKey, baseURL: `${this.platform.baseUrl}/v1`, maxRetries });
  }

  /** A call without any SDK. */
  post(tenant: Tenant, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.platform.baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${tenant.apiKey}`, "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    });
  }

  /** The newest revisions of an account's latest requests, newest first. */
  async usage(tenant: Tenant): Promise<readonly UsageRow[]> {
    const { usage } = await this.admin<{ usage: readonly UsageRow[] }>(
      "GET",
      `/accounts/${tenant.account}/usage?limit=100`,
    );
    return usage;
  }

  /** The row of an account's only request, once it says what `like` wants. */
  onlyRow(
    tenant: Tenant,
    withinMs: number,
    like: (row: UsageRow) => boolean = () => true,
  ): Promise<UsageRow> {
    return eventually(`a row of ${tenant.account}`, withinMs, async () => {
      // The edge may be down at this very moment, and the question is asked again.
      const rows = await this.usage(tenant).catch(() => []);
      return rows.length === 1 ? rows.find(like) : undefined;
    });
  }

  async status(tenant: Tenant): Promise<Status> {
    const { account } = await this.admin<{ account: Status }>("GET", `/accounts/${tenant.account}`);
    return account;
  }

  /** Waits until nothing is held any more, and tells the balance then. */
  settled(tenant: Tenant, withinMs: number): Promise<number> {
    return eventually(`${tenant.account} to be settled`, withinMs, async () => {
      const status = await this.status(tenant).catch(() => undefined);
      return status?.heldNanoUsd === 0 && status.holdsOpen + status.holdsPending === 0
        ? status.balanceNanoUsd
        : undefined;
    });
  }

  /** Waits until a call is answered: an engine that died has come back, and the edge has heard of it. */
  async serving(withinMs = 30_000): Promise<void> {
    const tenant = await this.tenant();
    await eventually("the platform to serve", withinMs, async () => {
      const body = { model: this.platform.model, max_tokens: 1, messages: [{ role: "user", content: "hi" }] };
      const response = await this.post(tenant, body);
      await response.text();
      return response.ok ? true : undefined;
    });
  }

  /** A message that makes the script engine answer in a certain way. */
  script(directive: Record<string, unknown>): { role: "user"; content: string }[] {
    return [{ role: "user", content: JSON.stringify({ script: directive }) }];
  }
}
