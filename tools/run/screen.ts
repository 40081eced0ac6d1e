/**
 * What `npm start` shows: one line that changes while things start, and at the end what one needs to go on. On anything
 * but a terminal the progress is plain lines, so that a log of it can be read.
 */
import { join } from "node:path";
import type { Platform } from "./platform.ts";

const terminal = process.stdout.isTTY;
const colour = terminal && process.env["NO_COLOR"] === undefined;

function paint(code: number, text: string): string {
  return colour ? `\u001B[${code}m${text}\u001B[0m` : text;
}

const bold = (text: string): string => paint(1, text);
const dim = (text: string): string => paint(2, text);

const startedAtMs = performance.now();
let open = false;
let said = "";

function seconds(): string {
  return `${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`;
}

export const progress = {
  say(this: void, what: string): void {
    // On a terminal the clock goes on; in a log one line of a kind is enough.
    if (!terminal && what === said) return;
    said = what;
    const line = `  ${dim(seconds().padStart(7))}  ${what}`;
    if (terminal) process.stdout.write(`\r\u001B[2K${line}`);
    else console.log(line);
    open = terminal;
  },
  warn(this: void, what: string): void {
    progress.done();
    console.error(`  ${paint(33, "!")} ${what}`);
  },
  /** Takes the changing line away. */
  done(this: void): void {
    if (open) process.stdout.write("\r\u001B[2K");
    open = false;
  },
};

/** The tool finds a platform by itself where `npm start` puts one. */
const USUAL_PLACE = join(import.meta.dirname, "../..", ".sluice");

function adminLine({ dataDir, baseUrl, adminToken }: Platform): string {
  const named = `SLUICE_URL=${baseUrl} SLUICE_ADMIN_TOKEN=${adminToken} `;
  return `${dataDir === USUAL_PLACE ? "" : named}npm run sluice -- --help`;
}

export function printReady(platform: Platform): void {
  const rows: (readonly [string, string])[] = [
    ["API", `${platform.baseUrl}/v1`],
    ["try it", platform.pages.try],
    ["key", platform.apiKey],
    ["admin", adminLine(platform)],
    ...platform.nodes.map((node): [string, string] => [node.name, `${node.url}  ${dim(node.region)}`]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n  ${bold("Sluice")} ${dim(`is ready after ${seconds()}`)}\n`);
  for (const [name, value] of rows) console.log(`  ${dim(name.padEnd(width))}  ${value}`);
  console.log(`
  curl -N ${platform.baseUrl}/v1/chat/completions \\
    -H "authorization: Bearer ${platform.apiKey}" -H "content-type: application/json" \\
    -d '{"model":"deepseek-reasoner","stream":true,"temperature":0,"messages":[{"role":"user","content":"What is 17 + 25?"}]}'

  ${dim("Ctrl-C stops everything. Accounts, keys and usage are kept in")} ${platform.dataDir}
`);
}
