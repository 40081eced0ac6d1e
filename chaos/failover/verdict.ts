/** The judgement as a table for people and as one object for machines. Pure. */
import { TIMEOUTS } from "../../src/core/timeouts.ts";
import type { Verdict } from "../support/scene.ts";
import { KINDS, type Finding, type Judgement, type Kind } from "./judge.ts";
import type { Part, Played } from "./scene.ts";

/** A failover may cost a client so much. */
const STALL_MS_MAX = 1_000;
/** Nobody knows that a node is frozen before it has been silent for so long. */
const FREEZE_MS_MAX = TIMEOUTS.silenceMs + STALL_MS_MAX;
const FINDINGS_SHOWN = 30;

const COUNTED = ["broken", "textMismatches", "doubleBilled", "underBilled"] as const;
type Counts = { readonly [What in Finding["what"]]: number };

export type Told = {
  readonly name: string;
  readonly streams: number;
  readonly homeMs: number;
  readonly faults: Readonly<Record<Kind, number>>;
  readonly counts: Counts;
  readonly stallsMs: Judgement["stallsMs"];
  readonly longest: Judgement["longest"];
  /** Where its logs and books are, where they were to be kept. */
  readonly keptIn: string | undefined;
  /** Answers that are letter by letter what an undisturbed run said, of those compared. */
  readonly equal: { readonly compared: number; readonly equal: number };
  readonly findings: readonly Finding[];
  readonly seconds: number;
  readonly settledMs: number;
};

export function tell(part: Part, played: Played, judgement: Judgement, seconds: number): Told {
  const { books, undisturbed, asked, blows, settledMs, keptIn } = played;
  const { findings, stallsMs, longest } = judgement;
  const struck = books.streams.slice(-asked.length);
  const compared = struck.flatMap((stream, i) => {
    const calm = undisturbed.get(asked[i]?.content ?? "");
    return stream.error === undefined && calm?.error === undefined ? [[stream, calm] as const] : [];
  });
  return {
    name: part.name,
    streams: asked.length,
    homeMs: part.homeMs,
    faults: count(KINDS, (kind) => blows.filter((blow) => blow === kind).length),
    counts: count(COUNTED, (what) => findings.filter((finding) => finding.what === what).length),
    stallsMs,
    longest,
    keptIn,
    equal: {
      compared: compared.length,
      equal: compared.filter(([a, b]) => a.content === b?.content && a.reasoning === b.reasoning).length,
    },
    findings,
    seconds,
    settledMs,
  };
}

export function verdictOf(seed: number, told: readonly Told[]): Verdict {
  const counts = count(COUNTED, (what) => told.reduce((sum, part) => sum + part.counts[what], 0));
  const faults = count(KINDS, (kind) => told.reduce((sum, part) => sum + part.faults[kind], 0));
  const stallP99Ms = p99Of(told);
  const json = {
    streams: told.reduce((sum, part) => sum + part.streams, 0),
    faults,
    ...counts,
    stallP99Ms,
    limitsMs: { kill: STALL_MS_MAX, freeze: FREEZE_MS_MAX, cut: STALL_MS_MAX },
    seed,
    parts: told.map((part) => ({
      name: part.name,
      streams: part.streams,
      homeMs: part.homeMs,
      faults: part.faults,
      ...part.counts,
      stallP99Ms: p99Of([part]),
      stalls: count(KINDS, (kind) => part.stallsMs[kind].length),
      longestStalls: part.longest,
      ...(part.keptIn === undefined ? {} : { keptIn: part.keptIn }),
      sameAsUndisturbed: part.equal,
      seconds: Math.round(part.seconds),
      settledMs: Math.round(part.settledMs),
    })),
    findings: told
      .flatMap(({ name, findings }) =>
        findings.map(({ what, request, why }) => `${name}: ${what}: ${request}: ${why}`),
      )
      .slice(0, FINDINGS_SHOWN),
  };
  const within =
    stallP99Ms.kill < STALL_MS_MAX && stallP99Ms.cut < STALL_MS_MAX && stallP99Ms.freeze < FREEZE_MS_MAX;
  const ok = within && Object.values(counts).every((value) => value === 0);
  return { ok, json, table: table(json, ok) };
}

function count<Name extends string>(
  names: readonly Name[],
  of: (name: Name) => number,
): { readonly [N in Name]: number } {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as { readonly [N in Name]: number };
}

function p99Of(told: readonly Told[]): Readonly<Record<Kind, number>> {
  return count(KINDS, (kind) =>
    quantile(
      told.flatMap((part) => part.stallsMs[kind]),
      0.99,
    ),
  );
}

/** 0 where there is nothing to rank. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0);
}

type Json = ReturnType<typeof verdictOf>["json"] & {
  readonly seed: number;
  readonly parts: readonly {
    readonly name: string;
    readonly streams: number;
    readonly faults: Readonly<Record<Kind, number>>;
    readonly stallP99Ms: Readonly<Record<Kind, number>>;
    readonly longestStalls: Judgement["longest"];
    readonly keptIn?: string;
    readonly sameAsUndisturbed: { readonly compared: number; readonly equal: number };
    readonly seconds: number;
  }[];
  readonly findings: readonly string[];
} & Counts;

function table(json: Json, ok: boolean): string {
  const head = [
    "",
    "streams",
    ...KINDS,
    "p99 kill",
    "p99 cut",
    "p99 freeze",
    "broken",
    "text",
    "double",
    "under",
    "same text",
    "s",
  ];
  const lines = json.parts.map((part) => {
    const counts = part as unknown as Counts;
    const { compared, equal } = part.sameAsUndisturbed;
    return [
      part.name,
      part.streams,
      ...KINDS.map((kind) => part.faults[kind]),
      ...(["kill", "cut", "freeze"] as const).map((kind) => `${part.stallP99Ms[kind]} ms`),
      ...COUNTED.map((what) => counts[what]),
      `${equal}/${compared}`,
      part.seconds,
    ].map(String);
  });
  const widths = head.map((text, i) => Math.max(text.length, ...lines.map((line) => line[i]?.length ?? 0)));
  const print = (line: readonly string[]): string =>
    line.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join("  ");
  const verdict = ok ? "every stream went on, and every bill is exact" : "NOT as promised";
  const kept = json.parts.flatMap(({ name, keptIn }) =>
    keptIn === undefined ? [] : [`${name}: logs and books are in ${keptIn}`],
  );
  return [
    print(head),
    ...lines.map(print),
    "",
    ...json.parts.map(longestOf),
    ...kept,
    `${verdict} (seed ${json.seed})`,
    ...json.findings,
  ].join("\n");
}

function longestOf({ name, longestStalls }: Json["parts"][number]): string {
  const stalls = longestStalls.map(({ kind, request, ms }) => `${ms} ms ${kind} ${request}`);
  return `${name}: longest pauses: ${stalls.join(", ") || "none"}`;
}
