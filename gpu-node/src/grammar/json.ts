/** JSON itself as grammar rules: any value, strings, numbers, and the blanks that may stand between. Pure. */
import type { Gbnf } from "./gbnf.ts";

/** Between marks: nothing, a blank, or a line feed and its indentation. Bounded, or a model could write blanks for ever. */
export function blank(gbnf: Gbnf): string {
  return gbnf.define("ws", String.raw`| " " | "\n" [ \t]{0,20}`);
}

export function character(gbnf: Gbnf): string {
  return gbnf.define("char", String.raw`[^"\\\x00-\x1f\x7f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})`);
}

export function anyString(gbnf: Gbnf): string {
  return gbnf.define("string", String.raw`"\"" ${character(gbnf)}* "\""`);
}

/** As many digits as numbers keep their meaning with. */
export function integer(gbnf: Gbnf): string {
  return gbnf.define("integer", '"-"? ("0" | [1-9] [0-9]{0,14})');
}

export function anyNumber(gbnf: Gbnf): string {
  return gbnf.define("number", `${integer(gbnf)} ${fraction(gbnf)}`);
}

/** What may follow a number's whole part. The exponent has two digits: so every number is finite. */
export function fraction(gbnf: Gbnf): string {
  return gbnf.define("fraction", '("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?');
}

export function boolean(gbnf: Gbnf): string {
  return gbnf.define("boolean", '"true" | "false"');
}

export function anyObject(gbnf: Gbnf): string {
  anyValue(gbnf);
  return "object";
}

export function anyArray(gbnf: Gbnf): string {
  anyValue(gbnf);
  return "array";
}

export function anyValue(gbnf: Gbnf): string {
  const [ws, text] = [blank(gbnf), anyString(gbnf)];
  gbnf.define("value", `object | array | ${text} | ${anyNumber(gbnf)} | ${boolean(gbnf)} | "null"`);
  gbnf.define("member", `${text} ${ws} ":" ${ws} value`);
  gbnf.define("object", `"{" ${ws} (member ${ws} ("," ${ws} member ${ws})*)? "}"`);
  gbnf.define("array", `"[" ${ws} (value ${ws} ("," ${ws} value ${ws})*)? "]"`);
  return "value";
}
