/**
 * A trace in Mooncake's format: one JSON object a line, `timestamp` in ms, `input_length`, `output_length`, and
 * `hash_ids` of the prompt's 512-token blocks. Pure. Times are scaled to the load; roles are not in a trace, so a
 * conversation is taken to be told by its fourth block, or its last where it has fewer.
 */
import { BLOCK_TOKENS, type SimRequest, type Workload } from "./request.ts";

const OPENING_BLOCK = 3;

/** Throws an Error that names the line which is none. */
export function readTrace(name: string, text: string): Workload {
  const requests = text
    .split("\n")
    .flatMap((line, at) => (line.trim() === "" ? [] : [requestOf(line, at + 1)]))
    .toSorted((a, b) => a.atMs - b.atMs);
  return { name, reuse: true, requests };
}

function requestOf(line: string, at: number): SimRequest {
  let raw: { readonly [field: string]: unknown };
  try {
    raw = JSON.parse(line) as { readonly [field: string]: unknown };
  } catch {
    throw new Error(`line ${at} of the trace is not JSON`);
  }
  const { timestamp, input_length: input, output_length: output, hash_ids: ids } = raw;
  if (typeof timestamp !== "number" || typeof input !== "number" || typeof output !== "number")
    throw new Error(`line ${at} of the trace lacks timestamp, input_length or output_length`);
  if (!Array.isArray(ids) || !ids.every((id) => Number.isSafeInteger(id)))
    throw new Error(`line ${at} of the trace lacks hash_ids`);
  // A prompt's last block may be cut short; what is cached are complete ones.
  const blocks = (ids as number[]).slice(0, Math.floor(input / BLOCK_TOKENS));
  const opening = blocks[Math.min(OPENING_BLOCK, blocks.length - 1)] ?? at;
  const place = ((opening * 2_654_435_761) >>> 0) / 2 ** 32;
  return { atMs: timestamp, input: Math.max(1, input), output: Math.max(1, output), blocks, opening, place };
}

/** The same requests, arriving at another rate. */
export function atRate(workload: Workload, perS: number): Workload {
  const { requests } = workload;
  const spanMs = Math.max(1, (requests.at(-1)?.atMs ?? 0) - (requests[0]?.atMs ?? 0));
  const factor = (requests.length * 1_000) / perS / spanMs;
  const firstMs = requests[0]?.atMs ?? 0;
  return {
    ...workload,
    requests: requests.map((request) => ({ ...request, atMs: (request.atMs - firstMs) * factor })),
  };
}
