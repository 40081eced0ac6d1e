/**
 * The judge: reads the three books and says everything that is wrong with them. Pure; test/unit/chaos plants each fault
 * that it claims to see.
 *
 * The law, for every request:
 *   the client has the whole answer   client = row = engine, and the row is exact
 *   anything else                     client <= row <= what the engine emitted up to the closing attempt, and row - client
 *                                     at most what a socket's buffer and one step hold
 * and for every account: what it was charged is what its rows cost, once each; balance + charged = credited; nothing is
 * held, nothing pending, and no log has a gap.
 */
import type { Told } from "./client.ts";
import type { Holder, Ledger, Made, Price, Row } from "./books.ts";

export type Books = {
  readonly told: readonly Told[];
  readonly made: Made;
  readonly ledger: Ledger;
  readonly holders: readonly Holder[];
};

export type Fault = "lost" | "double" | "underBilled" | "mismatches" | "pendingLeft";
export type Finding = { readonly fault: Fault; readonly of: string; readonly why: string };

export type Judgement = {
  readonly findings: readonly Finding[];
  /** Beyond what was credited, over all accounts. */
  readonly overspentNanoUsd: number;
  /** row - client, of every request whose answer broke off. */
  readonly gaps: readonly number[];
  /** How many requests the rows speak of, by certainty. */
  readonly certainties: Readonly<Record<string, number>>;
};

/** What one step of an engine and the sockets on the way can hold, in positions: some 180 bytes each in 64 KB. */
export const IN_FLIGHT_MAX = 400;
const PICO_PER_NANO = 1_000;

export function judge(books: Books): Judgement {
  const { told, made, ledger, holders } = books;
  const findings: Finding[] = [];
  const find = (fault: Fault, of: string, why: string): void => void findings.push({ fault, of, why });
  const revisions = Map.groupBy(ledger.rows, (row) => row.request);
  const clients = clientsOf(told);
  const gaps: number[] = [];
  const certainties: Record<string, number> = {};

  for (const request of new Set([...revisions.keys(), ...clients.keys(), ...made.keys()])) {
    const client = clients.get(request);
    const engine = made.get(request);
    const rows = revisions.get(request) ?? [];
    const row = rows.at(-1);
    if (row === undefined) {
      const received = client?.positions ?? 0;
      if (received > 0 || engine !== undefined) find("lost", request, `no row; the client has ${received}`);
      continue;
    }
    certainties[row.certainty] = (certainties[row.certainty] ?? 0) + 1;
    if (row.certainty === "pending") find("pendingLeft", request, `pending after all: ${row.ended}`);
    judgeRevisions(rows, ledger.prices, find);
    judgeCounts({ request, row, client, engine: emittedUpTo(row, engine) }, find, gaps);
  }
  for (const one of told) judgeClient(one, find);
  for (const holder of holders) judgeHolder(holder, ledger, find);
  const overspentNanoUsd = holders.reduce((sum, holder) => sum + overspent(holder, ledger), 0);
  return { findings, overspentNanoUsd, gaps, certainties };
}

/** Who received most of it speaks for a request: under an Idempotency-Key it may have been given more than once. */
function clientsOf(told: readonly Told[]): ReadonlyMap<string, Told> {
  const clients = new Map<string, Told>();
  for (const one of told) {
    if (one.request === undefined) continue;
    const before = clients.get(one.request);
    if (before === undefined || (before.positions ?? 0) <= (one.positions ?? 0))
      clients.set(one.request, one);
  }
  return clients;
}

type Find = (fault: Fault, of: string, why: string) => void;

/** How far the engines came in the attempts the row knows of; later ones are nobody's bill. */
function emittedUpTo(row: Row, engine: ReadonlyMap<number, number> | undefined): number {
  const closing = row.attempts.findLast(({ ended }) => ended !== "refused" && ended !== "no_node");
  const upTo = [...(engine ?? [])].filter(([ordinal]) => ordinal <= (closing?.ordinal ?? 0));
  return Math.max(0, ...upTo.map(([, to]) => to));
}

function judgeCounts(
  one: {
    readonly request: string;
    readonly row: Row;
    readonly client: Told | undefined;
    readonly engine: number;
  },
  find: Find,
  gaps: number[],
): void {
  const { request, row, client, engine } = one;
  const received = client?.positions ?? 0;
  const { completion, certainty } = row;
  if (completion < received)
    find("underBilled", request, `the client has ${received} and the row says ${completion} (${row.ended})`);
  if (completion > engine)
    find("mismatches", request, `the row says ${completion} and the engine emitted ${engine} (${row.ended})`);
  if (engine > 0 && certainty !== "exact" && certainty !== "pending")
    find("mismatches", request, `a node kept a receipt and the row is ${certainty} (${row.ended})`);
  if (completion > 0 && client !== undefined && row.prompt !== client.promptTokens)
    find(
      "mismatches",
      request,
      `the prompt has ${client.promptTokens} tokens and the row says ${row.prompt}`,
    );
  if (client?.complete === true) {
    if (completion !== received || engine !== received)
      find("mismatches", request, `whole: client ${received}, row ${completion}, engine ${engine}`);
    const { usage } = client;
    if (usage !== undefined && (usage.completion !== completion || usage.prompt !== row.prompt))
      find("mismatches", request, `the client was told ${usage.prompt}+${usage.completion}`);
    return;
  }
  // An answer in one piece is one write: it is in the socket or it is not.
  if (!row.stream) return;
  gaps.push(completion - received);
  if (completion - received > IN_FLIGHT_MAX)
    find(
      "mismatches",
      request,
      `${completion - received} positions beyond what the client has (${row.ended})`,
    );
}

function judgeRevisions(rows: readonly Row[], prices: readonly Price[], find: Find): void {
  const [first] = rows;
  const row = rows.at(-1);
  if (first === undefined || row === undefined) return;
  const { request } = row;
  if (rows.some(({ revision }, at) => revision !== at)) find("lost", request, "a revision is missing");
  if (new Set(rows.map(({ account }) => account)).size > 1)
    find("double", request, "two accounts have a row of it");
  const charged = rows.reduce((sum, { charged }) => sum + charged, 0);
  if (charged > row.cost) find("double", request, `charged ${charged} for a cost of ${row.cost}`);
  if (charged < row.cost) find("underBilled", request, `charged ${charged} for a cost of ${row.cost}`);
  const price = prices.find(({ id }) => id === row.price);
  const full = price === undefined ? undefined : costNanoUsd(price, row);
  if (row.certainty !== "pending" && full !== row.cost + row.writtenOff)
    find("mismatches", request, `its tokens cost ${full} and the row says ${row.cost}`);
  if (row.cached > row.prompt) find("mismatches", request, "more cached than there was");
}

function costNanoUsd({ input, cached, output }: Price, row: Row): number {
  const pico = (row.prompt - row.cached) * input + row.cached * cached + row.completion * output;
  return Math.ceil(pico / PICO_PER_NANO);
}

function judgeClient({ planned, positions, status, complete, refusal }: Told, find: Find): void {
  const of = `call ${planned.nr}`;
  if (positions === undefined) find("mismatches", of, `its text has a word missing, or twice ${refusal}`);
  if (complete && planned.engineDiesAt === undefined && planned.maxTokens !== undefined) {
    const wanted = Math.min(planned.maxTokens, answerPositions(planned));
    if (positions !== wanted && planned.kind !== "crowd" && planned.purse !== "tiny")
      find("mismatches", of, `${positions} positions of an answer of ${wanted}`);
  }
  if (status !== undefined && status >= 500 && status !== 502 && status !== 503 && status !== 504)
    find("mismatches", of, `answered with ${status}: ${refusal.slice(0, 200)}`);
}

/** Thinking, its mark, the words, the end. */
function answerPositions({ kind, think, words }: Told["planned"]): number {
  return (kind === "thinking" ? think + 1 : 0) + words + 1;
}

function judgeHolder(holder: Holder, { rows, entries, applied }: Ledger, find: Find): void {
  const { account } = holder;
  const mine = rows.filter((row) => row.account === account);
  const charged = mine.reduce((sum, row) => sum + row.charged, 0);
  if (holder.holds > 0 || holder.heldNanoUsd !== 0)
    find("pendingLeft", account, `${holder.holds} holds, ${holder.heldNanoUsd} nano-dollars held`);
  if (holder.balanceNanoUsd + charged !== holder.creditedNanoUsd)
    find("mismatches", account, `balance ${holder.balanceNanoUsd} + charged ${charged} is not the credit`);
  const own = entries.filter((entry) => entry.account === account);
  const sum = own.reduce((total, { amount }) => total + amount, 0);
  if (sum !== holder.balanceNanoUsd)
    find("mismatches", account, `the ledger sums to ${sum}, the object says ${holder.balanceNanoUsd}`);
  const through = applied.get(account) ?? 0;
  if (through !== holder.lastSeq) find("lost", account, `events ${through + 1} to ${holder.lastSeq}`);
  const paid = new Set(mine.filter(({ charged }) => charged > 0).map(({ request }) => request));
  if (holder.oneAnswer && paid.size > 1)
    find("double", account, `one answer was wanted, and ${paid.size} were charged`);
  const seqs = new Set(mine.map(({ seq }) => seq));
  if (seqs.size !== mine.length) find("double", account, "two rows are of one event");
}

/** What was charged, and what was given away, beyond what the account had. */
function overspent({ account, creditedNanoUsd, balanceNanoUsd }: Holder, { rows }: Ledger): number {
  const mine = rows.filter((row) => row.account === account);
  const charged = mine.reduce((sum, { charged }) => sum + charged, 0);
  const last = new Map(mine.map((row) => [row.request, row.writtenOff]));
  const writtenOff = [...last.values()].reduce((sum, off) => sum + off, 0);
  return Math.max(0, charged + writtenOff - creditedNanoUsd, -balanceNanoUsd);
}
