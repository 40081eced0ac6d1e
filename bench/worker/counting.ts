/**
 * Sluice, counting: the Worker as it is, and around its bindings and objects whatever counts what Cloudflare bills for.
 * `GET /v1/bench/counts` tells the sums since it was last asked. Only a bench builds this entry.
 *
 * One isolate runs the Worker and its objects here, so the sums can stand in one place. An object's rows are those of
 * its SQL cursors and of its alarms: setting one writes a row. It is awake while a call of it is under way, and while a
 * timer runs, which keeps it from hibernating. Whose timer one is cannot be told from outside, so all of them count for
 * the accounts' objects, and those count as one: this is for benches with one account, and too much rather than too little.
 */
import type { Env } from "../../src/core/env.ts";
import worker, { AccountObject as Account, RegionObject as Region } from "../../src/index.ts";

const QUEUE_OPERATION_BYTES = 64 * 1024;
/** Cursors looked at together: the newest may still be read. */
const CURSORS_MAX = 256;

let counts: Record<string, number> = {};

function count(name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

/* ---- rows of objects ---------------------------------------------------------------------------------------------- */

type Cursor = { readonly rowsRead: number; readonly rowsWritten: number };
let cursors: { readonly kind: string; readonly cursor: Cursor }[] = [];

function fold(): void {
  for (const { kind, cursor } of cursors.splice(0)) {
    count(`${kind}.rowsRead`, cursor.rowsRead);
    count(`${kind}.rowsWritten`, cursor.rowsWritten);
  }
}

function countRows(ctx: DurableObjectState, kind: string): DurableObjectState {
  const { sql } = ctx.storage;
  const exec = sql.exec.bind(sql);
  const setAlarm = ctx.storage.setAlarm.bind(ctx.storage);
  Object.defineProperty(sql, "exec", {
    value: (query: string, ...bindings: unknown[]) => {
      if (cursors.length >= CURSORS_MAX) fold();
      const cursor = exec(query, ...bindings);
      cursors.push({ kind, cursor });
      return cursor;
    },
  });
  Object.defineProperty(ctx.storage, "setAlarm", {
    value: (...parameters: Parameters<typeof setAlarm>) => {
      count(`${kind}.alarmsSet`);
      return setAlarm(...parameters);
    },
  });
  return ctx;
}

/* ---- calls of objects --------------------------------------------------------------------------------------------- */

class Awake {
  readonly #kind: string;
  #reasons = 0;
  #sinceMs = 0;

  constructor(kind: string) {
    this.#kind = kind;
  }

  enter(): void {
    if (this.#reasons++ === 0) this.#sinceMs = Date.now();
  }

  leave(): void {
    if (--this.#reasons === 0) count(`${this.#kind}.awakeMs`, Date.now() - this.#sinceMs);
  }

  /** Up to now, where it is awake still. */
  note(): void {
    if (this.#reasons === 0) return;
    count(`${this.#kind}.awakeMs`, Date.now() - this.#sinceMs);
    this.#sinceMs = Date.now();
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    count(`${this.#kind}.requests`);
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }
}

const awake = { account: new Awake("account"), region: new Awake("region") } as const;
type Kind = keyof typeof awake;

/* ---- timers ------------------------------------------------------------------------------------------------------- */

const timers = new Set<number>();
const { setTimeout: start, clearTimeout: clear } = globalThis;

globalThis.setTimeout = ((work: (...values: unknown[]) => void, ms?: number, ...values: unknown[]) => {
  awake.account.enter();
  const timer = start(() => {
    if (timers.delete(timer)) awake.account.leave();
    work(...values);
  }, ms);
  timers.add(timer);
  return timer;
}) as typeof setTimeout;

globalThis.clearTimeout = (timer) => {
  if (timer !== null && timer !== undefined && timers.delete(timer)) awake.account.leave();
  clear(timer);
};

type Method = (...parameters: unknown[]) => Promise<unknown>;

/** Every method of the object's own, so that a call of it is counted. */
function countCalls(
  kind: Kind,
  subclass: { readonly prototype: object },
  base: { readonly prototype: object },
): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(base.prototype))) {
    if (name === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(subclass.prototype, name, {
      value(...parameters: unknown[]) {
        return awake[kind].during(() => (value as Method).apply(this, parameters));
      },
    });
  }
}

export class AccountObject extends Account {
  constructor(ctx: DurableObjectState, env: Env) {
    super(countRows(ctx, "account"), counting(env));
  }
}
countCalls("account", AccountObject, Account);

export class RegionObject extends Region {
  constructor(ctx: DurableObjectState, env: Env) {
    super(countRows(ctx, "region"), counting(env));
  }
}
countCalls("region", RegionObject, Region);

/* ---- bindings ----------------------------------------------------------------------------------------------------- */

function counting(env: Env): Env {
  return { ...env, DB: countingD1(env.DB), KV: countingKv(env.KV), EVENTS: countingQueue(env.EVENTS) };
}

/** A method of a binding is called on the binding itself, whatever stands in front of it. */
function around<T extends object>(target: T, methods: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(_, name): unknown {
      if (name in methods) return methods[name as keyof T];
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value as Method).bind(target) : value;
    },
  });
}

function noteMeta<T extends D1Result>(result: T): T {
  count("d1.rowsRead", result.meta.rows_read);
  count("d1.rowsWritten", result.meta.rows_written);
  return result;
}

const statements = new WeakMap<object, D1PreparedStatement>();

/** `raw` tells no rows; what is asked for with it are a few, at a thousandth of a write's price each. */
function countingStatement(statement: D1PreparedStatement): D1PreparedStatement {
  const counted = around(statement, {
    bind: (...values: unknown[]) => countingStatement(statement.bind(...values)),
    all: async () => noteMeta(await statement.all()),
    run: async () => noteMeta(await statement.run()),
  });
  statements.set(counted, statement);
  return counted;
}

function countingD1(db: D1Database): D1Database {
  return around(db, {
    prepare: (query: string) => countingStatement(db.prepare(query)),
    batch: async (batch: D1PreparedStatement[]) => {
      const results = await db.batch(batch.map((statement) => statements.get(statement) ?? statement));
      return results.map(noteMeta);
    },
  });
}

function countingKv(kv: KVNamespace): KVNamespace {
  const counted = (name: "get" | "put" | "delete" | "list" | "getWithMetadata", as: string) => {
    const method = kv[name].bind(kv) as Method;
    return (...parameters: unknown[]) => {
      count(`kv.${as}`);
      return method(...parameters);
    };
  };
  return around(kv, {
    get: counted("get", "reads"),
    getWithMetadata: counted("getWithMetadata", "reads"),
    put: counted("put", "writes"),
    delete: counted("delete", "writes"),
    list: counted("list", "writes"),
  });
}

/** Written, read and deleted: three operations for each 64 KB. */
function countingQueue(queue: Queue<string>): Queue<string> {
  return around(queue, {
    send: (text: string, options?: QueueSendOptions) => {
      count("queue.messages");
      count("queue.operations", 3 * Math.ceil(text.length / QUEUE_OPERATION_BYTES));
      return queue.send(text, options);
    },
  });
}

/* ---- the Worker --------------------------------------------------------------------------------------------------- */

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/bench/counts") {
      fold();
      awake.account.note();
      awake.region.note();
      const told = counts;
      counts = {};
      return Response.json(told);
    }
    // Administration is the bench's own.
    if (pathname.startsWith("/admin/") || pathname === "/health") return worker.fetch(request, env, ctx);
    count(pathname.startsWith("/node/") ? "worker.beats" : "worker.calls");
    return worker.fetch(request, counting(env), ctx);
  },
  async queue(batch: MessageBatch, env: Env): Promise<void> {
    count("worker.consumers");
    await worker.queue(batch, counting(env));
  },
  async scheduled(controller: ScheduledController, env: Env): Promise<void> {
    count("worker.crons");
    await worker.scheduled(controller, counting(env));
  },
};
