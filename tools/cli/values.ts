/** What people type after an option, as the values the admin API takes. Pure; each complaint names the option. */
import { misused } from "./complaint.ts";

const UNIT_S: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3_600, d: 86_400 };
const MICRO_DIGITS = 6;

export function whole(text: string, option: string): number {
  if (!/^\d{1,15}$/.test(text)) throw misused(`${option}: "${text}" is not a whole number`);
  return Number(text);
}

/** A limit, or `none` for no limit. */
export function limit(text: string, option: string): number | null {
  return text === "none" ? null : whole(text, option);
}

/** "a,b", or a word that stands for no restriction. */
export function list(text: string, anything: string): string[] | null {
  return text === anything ? null : text.split(",").map((part) => part.trim());
}

/** "90s", "5m", "12h", "30d" in seconds. */
export function durationS(text: string, option: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  const unitS = UNIT_S[match?.[2] ?? ""];
  if (match === null || unitS === undefined)
    throw misused(`${option}: "${text}" is no length of time`, "write it like 90s, 5m, 12h or 30d");
  return Number(match[1]) * unitS;
}

/** "2027-01-31", or with a time; where no zone is named it is UTC. */
export function momentMs(text: string, option: string): number {
  const match = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  const zoned = match !== null && match[1] !== undefined && match[3] === undefined ? `${text}Z` : text;
  const ms = match === null ? Number.NaN : Date.parse(zoned);
  const [day = ""] = text.split("T");
  // JavaScript takes the 30th of February for the 2nd of March.
  const isDay = match !== null && new Date(`${day}T00:00Z`).toJSON()?.startsWith(day);
  if (Number.isNaN(ms) || !isDay)
    throw misused(`${option}: "${text}" is no date`, "write it like 2027-01-31 or 2027-01-31T12:00Z");
  return ms;
}

/** Dollars per million tokens, "0.27", as micro-dollars: 270000. Digit by digit, because 0.29 * 1e6 is no integer. */
export function microUsd(text: string, option: string): number {
  const match = /^(\d{1,4})(?:\.(\d{1,6}))?$/.exec(text);
  if (match === null)
    throw misused(`${option}: "${text}" is no price`, "write dollars per million tokens, like 0.27");
  return Number(match[1]) * 10 ** MICRO_DIGITS + Number((match[2] ?? "").padEnd(MICRO_DIGITS, "0"));
}

/** Micro-dollars as dollars, with two decimals at least. */
export function printMicroUsd(microUsd: number): string {
  const fraction = String(microUsd % 1_000_000)
    .padStart(MICRO_DIGITS, "0")
    .replace(/0{1,4}$/, "");
  return `${Math.floor(microUsd / 1_000_000)}.${fraction}`;
}

export function printTime(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? "-" : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

const NANO_DIGITS = 9;

/** A budget in dollars, "12.50", as nano-dollars; or `none` for no budget. */
export function limitUsd(text: string, option: string): number | null {
  if (text === "none") return null;
  const match = /^(\d{1,6})(?:\.(\d{1,9}))?$/.exec(text);
  if (match === null)
    throw misused(`${option}: "${text}" is no amount`, "write dollars, like 12.50, or none");
  return Number(match[1]) * 10 ** NANO_DIGITS + Number((match[2] ?? "").padEnd(NANO_DIGITS, "0"));
}

/** Nano-dollars as dollars, with two decimals at least. */
export function printUsd(nanoUsd: number): string {
  const size = Math.abs(nanoUsd);
  const fraction = String(size % 10 ** NANO_DIGITS)
    .padStart(NANO_DIGITS, "0")
    .replace(/0{1,7}$/, "");
  return `${nanoUsd < 0 ? "-" : ""}${Math.floor(size / 10 ** NANO_DIGITS)}.${fraction}`;
}
