/**
 * Grammars as text, in llama.cpp's notation (GBNF), rule by rule. Pure bookkeeping: names are unique, and a text that
 * clients wrote gets into a grammar only as a quoted literal.
 */

/** More text than this takes longer to read than an answer to make. */
const GBNF_CHARS_MAX = 512 * 1024;

export class GrammarTooLarge extends Error {
  override readonly name = "GrammarTooLarge";
}

export class Gbnf {
  readonly #rules = new Map<string, string>();
  #chars = 0;
  #lastName = 0;

  /** The name of a rule with this body; equal bodies share one. */
  rule(body: string): string {
    this.#lastName += 1;
    return this.define(`r${this.#lastName}`, body);
  }

  /** A name to be defined later: what refers to itself needs it first. */
  reserve(): string {
    this.#lastName += 1;
    return `r${this.#lastName}`;
  }

  define(name: string, body: string): string {
    if (!this.#rules.has(name)) {
      this.#rules.set(name, body);
      this.#chars += name.length + body.length;
      if (this.#chars > GBNF_CHARS_MAX) throw new GrammarTooLarge("the schema is too large");
    }
    return name;
  }

  print(root: string): string {
    const rules = [...this.#rules].map(([name, body]) => `${name} ::= ${body}`);
    return [`root ::= ${root}`, ...rules].join("\n");
  }
}

/** A text as a literal. */
export function literal(text: string): string {
  let quoted = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (character === '"' || character === "\\") quoted += `\\${character}`;
    else if (code < 0x20 || code === 0x7f) quoted += `\\x${code.toString(16).padStart(2, "0")}`;
    else quoted += character;
  }
  return `"${quoted}"`;
}

/** One token, by its id. */
export function tokenOf(id: number): string {
  return `<[${id}]>`;
}

/** A choice between bodies. */
export function anyOf(bodies: readonly string[]): string {
  return bodies.length === 1 ? (bodies[0] ?? '""') : `(${bodies.join(" | ")})`;
}
