/** The string formats that can be bound, as grammar bodies; what they let through is always of the format. Pure. */

const DAY_28 = '("0" [1-9] | "1" [0-9] | "2" [0-8])';
const DATE = `[0-9]{4} "-" (("0" [1-9] | "1" [0-2]) "-" ${DAY_28} | ("0" [13-9] | "1" [0-2]) "-" ("29" | "30") | ("0" [13578] | "1" [02]) "-31")`;
const TIME =
  '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])';
const LABEL = "[a-zA-Z0-9] ([-a-zA-Z0-9]{0,61} [a-zA-Z0-9])?";
const HOST = `${LABEL} ("." ${LABEL}){0,10}`;
const BYTE = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9])';

export const FORMATS: { readonly [format: string]: string | undefined } = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE} "T" ${TIME}`,
  duration:
    '"P" ([0-9]{1,4} "W" | [0-9]{1,4} "Y" | [0-9]{1,4} "M" | [0-9]{1,4} "D" | "T" ([0-9]{1,4} "H" ([0-9]{1,4} "M")? ([0-9]{1,4} "S")? | [0-9]{1,4} "M" ([0-9]{1,4} "S")? | [0-9]{1,4} "S"))',
  email: `[-a-zA-Z0-9_+] [-a-zA-Z0-9_+.]{0,63} "@" ${HOST}`,
  hostname: HOST,
  ipv4: `${BYTE} "." ${BYTE} "." ${BYTE} "." ${BYTE}`,
  ipv6: '[0-9a-fA-F]{1,4} (":" [0-9a-fA-F]{1,4}){7}',
  uuid: '[0-9a-f]{8} "-" [0-9a-f]{4} "-" [1-8] [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}',
};
