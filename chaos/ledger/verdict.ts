/** The judgement as a table for people and as one object for machines. Pure. */
import type { Verdict } from "../support/scene.ts";
import type { Told } from "./client.ts";
import { IN_FLIGHT_MAX, type Fault, type Judgement } from "./judge.ts";

export type Ran = {
  readonly seed: number;
  readonly told: readonly Told[];
  /** Blows, by whom they struck. */
  readonly struck: Readonly<Record<string, number>>;
  readonly fates: Readonly<Record<string, number>>;
  readonly judgement: Judgement;
  /** Where planted text was found. */
  readonly leaks: readonly string[];
  readonly stormS: number;
  readonly settleMs: number;
};

const NANO_PER_MICRO = 1_000;
const FINDINGS_SHOWN = 40;

export function verdictOf(ran: Ran): Verdict {
  const { judgement, told, leaks } = ran;
  const count = (fault: Fault): number =>
    judgement.findings.filter((finding) => finding.fault === fault).length;
  const gaps = judgement.gaps.toSorted((a, b) => a - b);
  const engineDeaths = told.filter(({ planned }) => planned.engineDiesAt !== undefined).length;
  const judged = {
    lost: count("lost"),
    double: count("double"),
    underBilled: count("underBilled"),
    overspentMicroUsd: Math.ceil(judgement.overspentNanoUsd / NANO_PER_MICRO),
    mismatches: count("mismatches"),
    pendingLeft: count("pendingLeft"),
  };
  const json = {
    requests: told.length,
    kills: Object.values(ran.struck).reduce((sum, times) => sum + times, 0),
    ...judged,
    leaks: leaks.length,
    seed: ran.seed,
    struck: { ...ran.struck, engineByDirective: engineDeaths },
    beats: ran.fates,
    outcomes: outcomesOf(told),
    rows: judgement.certainties,
    rowBeyondClient: {
      allowed: IN_FLIGHT_MAX,
      max: gaps.at(-1) ?? 0,
      p50: gaps[gaps.length >> 1] ?? 0,
      of: gaps.length,
    },
    stormS: Math.round(ran.stormS),
    settleMs: Math.round(ran.settleMs),
    findings: [...judgement.findings.map(({ fault, of, why }) => `${fault}: ${of}: ${why}`), ...leaks].slice(
      0,
      FINDINGS_SHOWN,
    ),
  };
  const ok = leaks.length === 0 && Object.values(judged).every((value) => value === 0);
  return { ok, json, table: table(json, ok) };
}

/** How the clients fared: nobody is helped by a test in which all were refused. */
function outcomesOf(told: readonly Told[]): Readonly<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  for (const { complete, status, planned } of told) {
    const name = complete
      ? "whole"
      : planned.leavesAfterMs !== undefined
        ? "left"
        : status === undefined
          ? "cut before a status"
          : status < 300
            ? "cut after it"
            : String(status);
    outcomes[name] = (outcomes[name] ?? 0) + 1;
  }
  return outcomes;
}

function table(json: Readonly<Record<string, unknown>>, ok: boolean): string {
  const lines = Object.entries(json)
    .filter(([name]) => name !== "findings")
    .map(([name, value]) => `${name.padEnd(20)}${print(value)}`);
  const findings = (json["findings"] as readonly string[]).map((finding) => `  ${finding}`);
  return [...lines, ...findings, ok ? "the books agree" : "THE BOOKS DO NOT AGREE"].join("\n");
}

function print(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
}
