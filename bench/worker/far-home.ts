/**
 * Sluice with its account elsewhere: the Worker as it is, and around its binding to the accounts' objects a proxy that
 * waits before each call (`BENCH_ACCOUNT_DELAY_MS`), or that grants every admission without asking anyone
 * (`BENCH_ADMISSION=stub`). Only a bench builds this entry; nothing of it can be switched on in the real one.
 */
import type { AdmitAsk, AdmitVerdict } from "@sluice/protocol/account";
import type { AccountRpc, AccountStub, Env } from "../../src/core/env.ts";
import worker from "../../src/index.ts";

export * from "../../src/index.ts";

type BenchEnv = Env & { readonly BENCH_ACCOUNT_DELAY_MS?: string; readonly BENCH_ADMISSION?: string };

const ISSUE_WITHIN_MS = 10_000;

function granted(ask: AdmitAsk): AdmitVerdict {
  return {
    ok: true,
    promptCeiling: ask.promptCeiling,
    outputCeiling: ask.outputAsked ?? ask.outputDefault,
    heldNanoUsd: 0,
    issueByMs: Date.now() + ISSUE_WITHIN_MS,
    regions: null,
    cacheSalt: "",
    requestsPerMinute: null,
  };
}

type Method = (...parameters: unknown[]) => Promise<unknown>;

function farStub(stub: AccountStub, delayMs: number, isStub: boolean): AccountStub {
  return new Proxy(stub, {
    get(target, name): unknown {
      if (isStub && name === "admit") return (ask: AdmitAsk) => Promise.resolve(granted(ask));
      return async (...parameters: unknown[]): Promise<unknown> => {
        if (delayMs > 0) await scheduler.wait(delayMs);
        // Called on the stub itself: what a stub hands out is no ordinary method.
        return (target as unknown as Record<PropertyKey, Method>)[name]?.(...parameters);
      };
    },
  });
}

type Accounts = DurableObjectNamespace<AccountRpc>;

function farAccounts(accounts: Accounts, env: BenchEnv): Accounts {
  const delayMs = Number(env.BENCH_ACCOUNT_DELAY_MS ?? "0");
  const isStub = env.BENCH_ADMISSION === "stub";
  return new Proxy(accounts, {
    get(target, name): unknown {
      if (name === "get") return (id: DurableObjectId) => farStub(target.get(id), delayMs, isStub);
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value as Method).bind(target) : value;
    },
  });
}

export default {
  ...worker,
  fetch(request: Request, env: BenchEnv, ctx: ExecutionContext): Response | Promise<Response> {
    // Administration is not what is measured: it goes the short way.
    if (new URL(request.url).pathname.startsWith("/admin/")) return worker.fetch(request, env, ctx);
    return worker.fetch(request, { ...env, ACCOUNTS: farAccounts(env.ACCOUNTS, env) }, ctx);
  },
};
