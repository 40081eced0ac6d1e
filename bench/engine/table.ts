/** The result as a table for people. Pure. */
import { aligned } from "../aligned.ts";
import { rounded } from "../edge/stats.ts";
import { aimsOf, type Beside, type EngineResult, type ModelResult } from "./result.ts";

const text = (value: number): string => String(rounded(value) ?? "-");

function linesOf(name: string, result: ModelResult): string[][] {
  const beside = (title: string, { sluice, peer, ratio }: Beside): string[] => [
    name,
    title,
    text(sluice),
    text(peer),
    text(ratio),
  ];
  const ms = (title: string, sluice: number, peer?: number): string[] => [
    name,
    title,
    text(sluice),
    peer === undefined ? "-" : text(peer),
    peer === undefined ? "-" : text(sluice / peer),
  ];
  const { decode, prefill, ttftMs } = result;
  return [
    beside("decode, 1 stream, tokens/s", decode["1"]),
    beside("decode, 8 streams, tokens/s", decode["8"]),
    beside("decode, 32 streams, tokens/s", decode["32"]),
    beside("prefill, tokens/s", prefill),
    ms("first token, long prompt, cold, ms", ttftMs.cold, ttftMs.peerCold),
    ms("first token, long prompt, warm, ms", ttftMs.warm, ttftMs.peerWarm),
    ms("first token during a long prefill, ms", ttftMs.duringPrefill, ttftMs.peerDuringPrefill),
    ms("slot free after an abort, ms", result.abortFreeMs),
    ms("event loop p99, 32 streams, ms", result.loopP99Ms),
  ];
}

export function printEngineTable(result: EngineResult): string {
  const rows = [
    ["", "", "sluice", "llama-server", "ratio"],
    ...linesOf("mid", result.mid),
    ...linesOf("tiny", result.tiny),
  ];
  const aims = aimsOf(result).map(({ says, value, met }) => [met ? "met" : "MISSED", says, text(value)]);
  return [
    aligned(rows),
    "",
    aligned(aims),
    "",
    ...Object.entries(result.machine).map(([name, value]) => `${name}: ${value}`),
  ].join("\n");
}
