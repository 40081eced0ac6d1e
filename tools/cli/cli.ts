/**
 * From what was typed to an exit code: find the command, or help; find the platform; run; print. What it prints and
 * reads of its surroundings comes in as arguments, so that tests run it as it is.
 */
import { AdminApi } from "./api.ts";
import { checkCount, COMMON, helpOf, inTyped, optionLines, parse, usageOf, type Command } from "./command.ts";
import { adminKeys } from "./commands/admin-keys.ts";
import { alerts } from "./commands/alerts.ts";
import { audit } from "./commands/audit.ts";
import { accounts } from "./commands/accounts.ts";
import { cache } from "./commands/cache.ts";
import { credit } from "./commands/credit.ts";
import { keys } from "./commands/keys.ts";
import { exports } from "./commands/export.ts";
import { ledger } from "./commands/ledger.ts";
import { limits } from "./commands/limits.ts";
import { models } from "./commands/models.ts";
import { nodes } from "./commands/nodes.ts";
import { prices } from "./commands/prices.ts";
import { reconcile } from "./commands/reconcile.ts";
import { upstreams } from "./commands/upstreams.ts";
import { usage } from "./commands/usage.ts";
import { verify } from "./commands/verify.ts";
import { Complaint, EXIT, misused } from "./complaint.ts";
import { plain } from "./table.ts";
import { findTarget } from "./target.ts";

export const COMMANDS: readonly Command[] = [
  ...accounts,
  ...keys,
  ...credit,
  ...limits,
  ...usage,
  ...ledger,
  ...exports,
  ...cache,
  ...nodes,
  ...upstreams,
  ...models,
  ...prices,
  ...adminKeys,
  ...audit,
  ...alerts,
  ...verify,
  ...reconcile,
];

export type Surroundings = {
  readonly env: { readonly [name: string]: string | undefined };
  /** Where `.sluice/` may lie. */
  readonly folder: string;
  /** A secret that is in no variable: piped in, or typed. */
  readonly readSecret: (asks: string) => Promise<string>;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
};

export async function cli(argv: readonly string[], around: Surroundings): Promise<number> {
  try {
    const { text, exit = EXIT.ok } = await perform(argv, around);
    around.print(text);
    return exit;
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    around.printError(argv.includes("--json") ? complaintJson(error) : complaintText(error));
    return error.exit;
  }
}

type Printed = { readonly text: string; readonly exit?: number };

async function perform(argv: readonly string[], around: Surroundings): Promise<Printed> {
  const found = findCommand(argv);
  if (found === undefined) return { text: helpFor(argv) };
  const { command, rest } = found;
  const { args, values } = parse(command, rest);
  if (values["help"] === true) return { text: helpOf(command) };
  checkCount(command, args);
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === "string" ? value : undefined;
  };
  const target = findTarget(
    { url: text("url"), token: text("api-key") ?? text("token") },
    around.env,
    around.folder,
  );
  const run = {
    api: new AdminApi(target),
    args,
    text,
    on: (option: string) => values[option] === true,
    secret: async (variable: string, asks: string) => around.env[variable] ?? (await around.readSecret(asks)),
  };
  const said = await command.run(run).catch((error: unknown) => {
    throw error instanceof Complaint ? inTyped(command, error) : error;
  });
  const printed = values["json"] === true ? JSON.stringify(said.json, null, 2) : said.text;
  return { text: printed, ...(said.exit === undefined ? {} : { exit: said.exit }) };
}

/** The longest name that the words begin with. Options may only come after it. */
function findCommand(argv: readonly string[]): { command: Command; rest: readonly string[] } | undefined {
  for (const count of [2, 1]) {
    const name = argv.slice(0, count).join(" ");
    const command = COMMANDS.find((known) => known.name === name);
    if (command !== undefined) return { command, rest: argv.slice(count) };
  }
  return undefined;
}

/** Help for nothing, for a group like `accounts`, or a complaint about a word nobody knows. */
function helpFor(argv: readonly string[]): string {
  const wantsHelp =
    argv.length === 0 || argv.some((word) => word === "--help" || word === "-h" || word === "help");
  const [first = "", second] = argv.filter((word) => !word.startsWith("-") && word !== "help");
  const group = COMMANDS.filter((command) => command.name.split(" ")[0] === first);
  if (first === "" && wantsHelp) return overview(COMMANDS);
  if (group.length === 0)
    throw misused(
      first === "" ? "a command comes before its options" : `there is no command "${plain(first)}"`,
      SEE,
    );
  if (second === undefined) return overview(group);
  throw misused(`there is no command "${first} ${plain(second)}"`, `npm run sluice -- ${first} --help`);
}

const SEE = "npm run sluice -- --help";

function overview(commands: readonly Command[]): string {
  const lines = commands.map((command) => ({ usage: usageOf(command), about: command.about }));
  const width = Math.max(...lines.map(({ usage }) => usage.length));
  return [
    "Administers a Sluice platform.",
    "",
    ...lines.map(({ usage, about }) => `  ${usage.padEnd(width)}  ${firstSentence(about)}`),
    "",
    "Everywhere:",
    optionLines(COMMON),
  ].join("\n");
}

function firstSentence(text: string): string {
  return text.split(/(?<=[.:;])\s/)[0]?.replace(/[:;]$/, ".") ?? text;
}

function complaintText({ message, issues, next }: Complaint): string {
  // One issue is usually the message itself.
  const told = issues.filter(
    (issue) => message !== (issue.param === "" ? issue.message : `${issue.param}: ${issue.message}`),
  );
  const fields = told.map((issue) => `  ${plain(issue.param || "(all)")}: ${plain(issue.message)}`);
  return [`sluice: ${plain(message)}`, ...fields, ...(next === undefined ? [] : [`  -> ${next}`])].join("\n");
}

function complaintJson({ message, issues, next, exit }: Complaint): string {
  return JSON.stringify({ error: { message, issues, next: next ?? null, exit } }, null, 2);
}
