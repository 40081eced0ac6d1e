/**
 * A command as data: what it takes, what it does. From this come parsing, `--help` at every level, and the complaints
 * about what was typed.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import type { AdminApi } from "./api.ts";
import { Complaint, misused } from "./complaint.ts";

export type Option = {
  /** What stands for the value in the help; absent for a switch. */
  readonly value?: string;
  readonly about: string;
  /** What the admin API calls it, so that its complaints can be told in the words that were typed. */
  readonly field?: string;
};

export type Values = { readonly [option: string]: string | boolean | undefined };

export type Run = {
  readonly api: AdminApi;
  /** The arguments by position; those the command asks for are there. */
  readonly args: readonly string[];
  /** The text after an option; undefined where it was not given. */
  readonly text: (option: string) => string | undefined;
  readonly on: (option: string) => boolean;
  /** What must not be typed as an argument: from a variable, or else asked for. */
  readonly secret: (variable: string, asks: string) => Promise<string>;
};

/** What a command has to say: `json` for machines, as the API gave it; `text` for people. */
export type Said = {
  readonly json: unknown;
  readonly text: string;
  /** Where what was found is not as it should be; else 0. */
  readonly exit?: number;
};

export type Command = {
  /** "accounts create" */
  readonly name: string;
  /** Names of the arguments; one that ends in "?" may be left out. */
  readonly takes: readonly string[];
  /** What the admin API calls an argument, where it has another name there. */
  readonly fields?: { readonly [argument: string]: string };
  readonly about: string;
  readonly options: { readonly [name: string]: Option };
  readonly run: (run: Run) => Promise<Said>;
};

export const COMMON: { readonly [name: string]: Option } = {
  url: { value: "URL", about: "the platform (else SLUICE_URL, else the local one of .sluice/dev.json)" },
  token: { value: "TOKEN", about: "its admin token (else SLUICE_ADMIN_TOKEN, else the local one)" },
  json: { about: "print the answer as JSON" },
  help: { about: "say what a command takes" },
};

/** For commands that list. */
export const PAGED: { readonly [name: string]: Option } = {
  limit: { value: "N", about: "rows at most, 50 where not given", field: "limit" },
  cursor: { value: "CURSOR", about: "go on where another page ended", field: "cursor" },
  all: { about: "every page" },
};

export type Typed = { readonly args: readonly string[]; readonly values: Values };

/** Parses what follows a command's name. */
export function parse(command: Command, argv: readonly string[]): Typed {
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, { value }] of Object.entries({ ...COMMON, ...command.options }))
    options[name] = { type: value === undefined ? "boolean" : "string" };
  try {
    const { positionals, values } = parseArgs({ args: [...argv], options, allowPositionals: true });
    return { args: positionals, values: values as Values };
  } catch (error) {
    // Of Node's message the first sentence; what follows it speaks of other programs' habits.
    const message = error instanceof Error ? (error.message.split(/\.\s/)[0] ?? error.message) : "";
    const ambiguous = /^Option '(--[\w-]+)/.exec(message)?.[1];
    if (message.endsWith("is ambiguous") && ambiguous !== undefined)
      throw misused(
        `what follows ${ambiguous} begins with a dash`,
        `${ambiguous}=VALUE takes it as it stands`,
      );
    const negative = argv.some((arg) => /^-\d/.test(arg));
    const next = negative ? "a negative amount goes behind two dashes: -- -5.00" : seeHelp(command);
    throw misused(message, next);
  }
}

export function checkCount(command: Command, args: readonly string[]): void {
  const missing = command.takes.filter((name, i) => !name.endsWith("?") && args[i] === undefined);
  if (missing.length > 0)
    throw misused(
      `${command.name} needs ${missing.map((name) => `<${name}>`).join(" and ")}`,
      seeHelp(command),
    );
  const extra = args[command.takes.length];
  if (extra !== undefined) throw misused(`${command.name} has no use for "${extra}"`, seeHelp(command));
}

/** A refusal in the words that were typed: `--rpm` and not `requestsPerMinute`. */
export function inTyped(command: Command, complaint: Complaint): Complaint {
  const typed = (param: string): string => {
    const isOf = (field: string): boolean => param === field || param.startsWith(`${field}.`);
    const option = Object.entries(command.options).find(
      ([, { field }]) => field !== undefined && isOf(field),
    );
    if (option !== undefined) return `--${option[0]}`;
    const taken = command.takes
      .map((name) => name.replace("?", ""))
      .find((name) => isOf(command.fields?.[name] ?? name));
    return taken === undefined ? param : `<${taken}>`;
  };
  const issues = complaint.issues.map((issue) => ({ ...issue, param: typed(issue.param) }));
  const first = complaint.issues[0]?.param ?? "";
  const message =
    first !== "" && complaint.message.startsWith(`${first}: `)
      ? typed(first) + complaint.message.slice(first.length)
      : complaint.message;
  return new Complaint(complaint.exit, message, { issues, next: complaint.next });
}

function seeHelp(command: Command): string {
  return `npm run sluice -- ${command.name} --help`;
}

export function usageOf(command: Command): string {
  const takes = command.takes.map((name) => (name.endsWith("?") ? `[${name.slice(0, -1)}]` : `<${name}>`));
  return ["sluice", command.name, ...takes].join(" ");
}

export function helpOf(command: Command): string {
  const lines = [usageOf(command), "", command.about];
  if (Object.keys(command.options).length > 0) lines.push("", "Options:", optionLines(command.options));
  return [...lines, "", "Everywhere:", optionLines(COMMON)].join("\n");
}

export function optionLines(options: { readonly [name: string]: Option }): string {
  const left = Object.entries(options).map(([name, { value, about }]) => ({
    option: `--${name}${value === undefined ? "" : ` ${value}`}`,
    about,
  }));
  const width = Math.max(...left.map(({ option }) => option.length));
  return left.map(({ option, about }) => `  ${option.padEnd(width)}  ${about}`).join("\n");
}
