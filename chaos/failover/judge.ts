/**
 * The judge of failing over: what clients saw, against what the nodes' journals say was made at those positions, and
 * against the bill. Pure; everything it is told was written down by somebody who did not know of the others.
 *
 *   broken          the SDK threw, or `[DONE]` did not come
 *   textMismatches  a position is missing or comes twice, an id is not the one journalled there, or the text the SDK put
 *                   together is not what those ids spell
 *   doubleBilled    billed for more positions than the client got, or more than once
 *   underBilled     billed for fewer, or not exactly
 *   stalls          the longest pause at a client around the moment its node or its connection was struck
 */

/** One event of a stream with positions in it, as it arrived. */
export type Arrival = { readonly to: number; readonly ids: readonly number[] };

export type Stream = {
  readonly request: string;
  /** What the SDK threw. */
  readonly error: string | undefined;
  readonly done: boolean;
  readonly reasoning: string;
  readonly content: string;
  /** `usage.completion_tokens`; undefined where none came. */
  readonly usage: number | undefined;
  readonly arrivals: readonly Arrival[];
  readonly startedAtMs: number;
  /** When each chunk came, the end of the stream last. */
  readonly heardAtMs: readonly number[];
};

/** One attempt in a node's journal. */
export type Journalled = { readonly node: string; readonly from: number; readonly ids: readonly number[] };

export type Row = {
  readonly request: string;
  readonly certainty: string;
  readonly completion: number;
  readonly cost: number;
  /** How each attempt ended, in order. */
  readonly endings: readonly string[];
};

export const KINDS = ["kill", "freeze", "cut", "stall", "slow", "restart"] as const;
export type Kind = (typeof KINDS)[number];

/** A request that a blow struck: on its wire, or because its node was answering it, or was given it while it was frozen. */
export type Hit = { readonly kind: Kind; readonly request: string; readonly atMs: number };

export type Books = {
  readonly streams: readonly Stream[];
  readonly journal: ReadonlyMap<string, readonly Journalled[]>;
  readonly rows: readonly Row[];
  readonly hits: readonly Hit[];
  /** What ids spell: the thinking and the answer. */
  readonly spell: (ids: readonly number[]) => { readonly reasoning: string; readonly content: string };
  readonly creditedNanoUsd: number;
  readonly balanceNanoUsd: number;
};

export type Finding = {
  readonly what: "broken" | "textMismatches" | "doubleBilled" | "underBilled";
  readonly request: string;
  readonly why: string;
};

export type Stall = { readonly kind: Kind; readonly request: string; readonly ms: number };

export type Judgement = {
  readonly findings: readonly Finding[];
  readonly stallsMs: Readonly<Record<Kind, readonly number[]>>;
  /** The longest of those that a limit is set for, longest first: where to look. */
  readonly longest: readonly Stall[];
};

/** Kinds whose stalls are judged: what falls on a client at once, and not after seconds in which nobody knew. */
const JUDGED: ReadonlySet<Kind> = new Set(["kill", "cut"]);
const LONGEST_SHOWN = 5;

/** A pause that begins this long after a blow is another's. */
const AFTER_BLOW_MS = 1_000;
/** What had left before a blow still arrives for so long. */
const IN_FLIGHT_MS = 500;
/** What takes the edge seconds to know of: a pause in which one of these struck as well is its. */
const HIDDEN: ReadonlySet<Kind> = new Set(["freeze", "stall"]);

export function judge(books: Books): Judgement {
  const rows = new Map<string, Row[]>();
  for (const row of books.rows) rows.set(row.request, [...(rows.get(row.request) ?? []), row]);
  const findings: Finding[] = [];
  for (const stream of books.streams) {
    const { request } = stream;
    const add = (what: Finding["what"], why: string | undefined): void => {
      if (why !== undefined) findings.push({ what, request, why });
    };
    const error = stream.error ?? (stream.done ? undefined : "it ended without [DONE]");
    const endings = rows.get(request)?.[0]?.endings.join(", ") ?? "no row";
    add("broken", error && `${error} (${endings})`);
    if (stream.error !== undefined || !stream.done) continue;
    add("textMismatches", misread(stream, books));
    const billed = rows.get(request) ?? [];
    add("doubleBilled", overcharged(stream, billed));
    add("underBilled", undercharged(stream, billed));
  }
  findings.push(...moneyMissing(books));
  const stalls = stallsOf(books);
  const longest = stalls.filter(({ kind }) => JUDGED.has(kind)).toSorted((a, b) => b.ms - a.ms);
  return { findings, stallsMs: byKind(stalls), longest: longest.slice(0, LONGEST_SHOWN) };
}

function byKind(stalls: readonly Stall[]): Readonly<Record<Kind, readonly number[]>> {
  const lists: Record<Kind, number[]> = { kill: [], freeze: [], cut: [], stall: [], slow: [], restart: [] };
  for (const { kind, ms } of stalls) lists[kind].push(ms);
  return lists;
}

function misread({ request, arrivals, reasoning, content, usage }: Stream, books: Books): string | undefined {
  const ids: number[] = [];
  for (const arrival of arrivals) {
    ids.push(...arrival.ids);
    if (ids.length !== arrival.to)
      return `${ids.length} positions had come where the event said ${arrival.to}`;
  }
  const attempts = books.journal.get(request) ?? [];
  for (const [position, id] of ids.entries()) {
    const made = attempts.some(
      (attempt) => position >= attempt.from && attempt.ids[position - attempt.from] === id,
    );
    if (!made) return `no node journalled ${id} at position ${position}`;
  }
  const spelt = books.spell(ids);
  if (spelt.reasoning !== reasoning) return differ("the thinking", spelt.reasoning, reasoning);
  if (spelt.content !== content) return differ("the answer", spelt.content, content);
  return usage === ids.length ? undefined : `its usage said ${usage} of ${ids.length} positions`;
}

function differ(what: string, spelt: string, seen: string): string {
  let at = 0;
  while (at < spelt.length && spelt[at] === seen[at]) at++;
  return `${what} differs at ${at}: ${JSON.stringify(seen.slice(at, at + 20))}, and the ids spell ${JSON.stringify(spelt.slice(at, at + 20))}`;
}

function delivered({ arrivals }: Stream): number {
  return arrivals.at(-1)?.to ?? 0;
}

function overcharged(stream: Stream, billed: readonly Row[]): string | undefined {
  if (billed.length > 1) return `${billed.length} bills`;
  const completion = billed[0]?.completion ?? 0;
  return completion > delivered(stream) ? `${completion} billed, ${delivered(stream)} delivered` : undefined;
}

function undercharged(stream: Stream, [row]: readonly Row[]): string | undefined {
  if (row === undefined) return "no bill";
  if (row.certainty !== "exact") return `its bill is ${row.certainty}`;
  return row.completion < delivered(stream)
    ? `${row.completion} billed, ${delivered(stream)} delivered`
    : undefined;
}

function moneyMissing({ rows, creditedNanoUsd, balanceNanoUsd }: Books): readonly Finding[] {
  const billed = rows.reduce((sum, row) => sum + row.cost, 0);
  const taken = creditedNanoUsd - balanceNanoUsd;
  if (taken === billed) return [];
  const what = taken > billed ? "doubleBilled" : "underBilled";
  return [{ what, request: "all", why: `${taken} nano-dollars taken, ${billed} in the rows` }];
}

function stallsOf({ streams, hits }: Books): readonly Stall[] {
  const stalls: Stall[] = [];
  const byRequest = new Map<string, Hit[]>();
  for (const hit of hits) byRequest.set(hit.request, [...(byRequest.get(hit.request) ?? []), hit]);
  for (const stream of streams) {
    const struck = byRequest.get(stream.request) ?? [];
    for (const { kind, atMs } of struck) {
      const pause = pauseAround(stream, atMs);
      if (pause === undefined) continue;
      const hidden = struck.some(
        (other) =>
          HIDDEN.has(other.kind) && other.atMs >= pause.fromMs - IN_FLIGHT_MS && other.atMs < pause.toMs,
      );
      if (!HIDDEN.has(kind) && hidden) continue;
      stalls.push({ kind, request: stream.request, ms: Math.round(pause.toMs - pause.fromMs) });
    }
  }
  return stalls;
}

type Pause = { readonly fromMs: number; readonly toMs: number };

/**
 * The longest time without a chunk in the moments after a blow; undefined where the stream had not begun, or was over.
 * A pause that had begun before is counted from the blow.
 */
function pauseAround({ startedAtMs, heardAtMs }: Stream, blowAtMs: number): Pause | undefined {
  const endedAtMs = heardAtMs.at(-1) ?? startedAtMs;
  if (blowAtMs < startedAtMs || blowAtMs >= endedAtMs) return undefined;
  let longest: Pause = { fromMs: blowAtMs, toMs: blowAtMs };
  let fromMs = blowAtMs;
  for (const toMs of heardAtMs) {
    if (toMs <= blowAtMs) continue;
    if (fromMs >= blowAtMs + AFTER_BLOW_MS) break;
    if (toMs - fromMs > longest.toMs - longest.fromMs) longest = { fromMs, toMs };
    fromMs = toMs;
  }
  return longest;
}
