/**
 * Grammars as text, in llama.cpp's notation (GBNF), rule by rule. Pure bookkeeping: names are unique, and a text that
 * clients wrote gets into a grammar only as a quoted literal.
 */

/** More text than this takes longer to read than an answer to make. */
const GBNF_CHARS_MAX = 512 * 1024;

/**
 * Repetitions with a bound, over the whole grammar, their bounds added up, equal ones once: llama.cpp writes each of them out as rules (2,000 strings
 * of at most 1,000 letters took it six seconds and 900 MB, while every answer of the engine stood still).
 */
const REPETITIONS_MAX = 20_000;

export class GrammarTooLarge extends Error {
  override readonly name = "GrammarTooLarge";
}

export class Gbnf {
  readonly #rules = new Map<string, string>();
  readonly #nameByBody = new Map<string, string>();
  #chars = 0;
  #repetitions = 0;
  #lastName = 0;

  /** The name of a rule with this body; equal bodies share one. */
  rule(body: string): string {
    const known = this.#nameByBody.get(body);
    if (known !== undefined) return known;
    const name = this.define(this.reserve(), body);
    this.#nameByBody.set(body, name);
    return name;
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

  /** The name of a rule that is `rule` so many times; without `max` as often as it likes. */
  repeat(rule: string, min: number, max: number | undefined): string {
    if (max === 0) return '""';
    const body = max === undefined ? `${rule}{${min},}` : `${rule}{${min},${max}}`;
    if (!this.#nameByBody.has(body)) this.#repetitions += max ?? min;
    if (this.#repetitions > REPETITIONS_MAX)
      throw new GrammarTooLarge(
        `the bounds of all strings and arrays add up to more than ${REPETITIONS_MAX}`,
      );
    return this.rule(body);
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
