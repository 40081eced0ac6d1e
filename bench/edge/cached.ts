/**
 * What an answer out of the cache costs, by the layer it comes from, beside a request that is refused: the same small
 * question at temperature 0, again and again. Memory and refusal take turns on the Worker as it is; for the farther
 * layers an entry of the bench forgets the nearer ones (bench/worker/forgetful.ts).
 *
 * Void where an answer came from another layer than the row says, where a request that should have been refused was
 * not, and where the rows in D1 are not the requests sent.
 */
import { Void } from "./books.ts";
import type { Cell } from "./cells.ts";
import { measure, type Loader, type Measured, type Tally } from "./measure.ts";
import { jsonFigures, type Row } from "./result.ts";
import { requestBody, SCENES } from "./script.ts";
import type { Target } from "./targets/target.ts";
import { startSluice, type Customer, type Sluice, type SluiceSettings } from "./targets/sluice.ts";

const BODY = requestBody(SCENES.json, { temperature: 0 });
const OK = 200;
const REFUSED = 429;
/** So few that a second request of the minute is refused; a bench's rounds are over before the next is allowed. */
const TIGHT = { requestsPerMinute: 1, concurrency: 100 };
/** To write the second sight's copies, after the answer. */
const WRITES_MS = 500;

type Asked = {
  readonly loader: Loader;
  readonly plan: { readonly cached: readonly Cell[]; readonly rounds: number };
};

/** By load, then by layer. */
export async function measureCached(
  { loader, plan }: Asked,
  settings: SluiceSettings,
): Promise<Readonly<Record<string, Row>>> {
  const near = await withSluice(settings, async (sluice) => {
    const customer = await sluice.addCustomer("cached");
    const refused = await sluice.addCustomer("refused", TIGHT);
    await filled(sluice, customer);
    await ask(sluice, refused.headers, OK);
    return inTurns(plan, {
      memory: hits(loader, sluice, customer, "memory"),
      refused: (cell) =>
        measure(loader, { ...alone(sluice), headers: refused.headers }, cell, {
          tally: none(),
          body: BODY,
          status: REFUSED,
        }),
    });
  });
  const entry = { main: "./bench/worker/forgetful.ts", vars: {}, books: true };
  const far = await withSluice({ ...settings, entry }, async (sluice) => {
    const customer = await sluice.addCustomer("cached");
    await filled(sluice, customer);
    return inTurns(plan, {
      colo: hits(loader, sluice, customer, "colo"),
      kv: hits(loader, sluice, customer, "kv"),
    });
  });
  return Object.fromEntries(
    plan.cached.map(({ id, lanes }) => [`c${lanes}`, { ...near.get(id), ...far.get(id) }]),
  );
}

async function withSluice<Result>(
  settings: SluiceSettings,
  work: (sluice: Sluice) => Promise<Result>,
): Promise<Result> {
  const sluice = await startSluice(settings);
  try {
    return await work(sluice);
  } finally {
    await sluice.stop();
  }
}

/** Its rows are proved by the customer's own books. */
function alone({ name, port, headers, pid, stop }: Sluice): Target {
  return { name, port, headers, pid, stop };
}

function none(): Tally {
  return { sent: 0, tokens: 0 };
}

/** Asked twice: the first answer is kept, the second sight spreads it to the farther layers. */
async function filled(sluice: Sluice, { headers }: Customer): Promise<void> {
  await ask(sluice, headers, OK);
  await new Promise((resolve) => setTimeout(resolve, WRITES_MS));
  await ask(sluice, headers, OK);
  await new Promise((resolve) => setTimeout(resolve, WRITES_MS));
}

async function ask(
  { port }: Sluice,
  headers: Readonly<Record<string, string>>,
  status: number,
): Promise<string | null> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: BODY,
  });
  const text = await response.text();
  if (response.status !== status) throw new Void(`status ${response.status} instead of ${status}: ${text}`);
  return response.headers.get("x-sluice-cache-layer");
}

/** The answer that filled the cache is the only one a node makes. */
const FILLED = { sent: 2, made: 1 };

function hits(
  loader: Loader,
  sluice: Sluice,
  { headers: own, books }: Customer,
  layer: "memory" | "colo" | "kv",
): (cell: Cell, tally: Tally) => Promise<Measured> {
  const headers = { ...own, "x-bench-layer": layer };
  return async (cell, tally) => {
    const came = await ask(sluice, headers, OK);
    if (came !== layer) throw new Void(`a hit came from ${came ?? "a node"} instead of ${layer}`);
    tally.sent++;
    const settled = async (): Promise<number> => {
      const tookMs = await books.settled(FILLED.sent + tally.sent);
      books.proveRecalled(FILLED.sent + tally.sent, FILLED.made);
      return tookMs;
    };
    return measure(loader, { ...alone(sluice), headers, settled }, cell, { tally, body: BODY });
  };
}

async function inTurns(
  { cached, rounds }: Asked["plan"],
  rows: Readonly<Record<string, (cell: Cell, tally: Tally) => Promise<Measured>>>,
): Promise<ReadonlyMap<string, Row>> {
  const tally = none();
  const measured = new Map<string, Map<string, Measured[]>>();
  for (let round = 0; round < rounds; round++) {
    for (const cell of cached) {
      const byRow = measured.get(cell.id) ?? new Map<string, Measured[]>();
      measured.set(cell.id, byRow);
      for (const [name, run] of Object.entries(rows))
        byRow.set(name, [...(byRow.get(name) ?? []), await run(cell, tally)]);
    }
  }
  return new Map(
    [...measured].map(([id, byRow]) => [
      id,
      Object.fromEntries([...byRow].map(([name, all]) => [name, jsonFigures(all)])),
    ]),
  );
}
