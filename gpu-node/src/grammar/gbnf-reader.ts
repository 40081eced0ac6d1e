/**
 * Reads a grammar in llama.cpp's notation (GBNF), as gbnf.ts writes it, into nodes, and prints nodes again: for llama.cpp, or
 * for XGrammar (vLLM, SGLang), which calls a token `Token(7)`, lets `\x` take any number of digits and wants an empty
 * alternative spelt out. Pure. Knows what this build writes, not all of GBNF; a text it cannot read is a programmer's error.
 */
export type Node =
  | {
      readonly kind: "char";
      readonly ranges: readonly (readonly [number, number])[];
      readonly negated: boolean;
    }
  | { readonly kind: "token"; readonly id: number }
  | { readonly kind: "rule"; readonly name: string }
  | { readonly kind: "any"; readonly bodies: readonly Body[] }
  | { readonly kind: "repeat"; readonly node: Node; readonly min: number; readonly max: number | undefined };

/** Nodes in a row. */
export type Body = readonly Node[];

/** The alternatives of each rule. */
export type Rules = ReadonlyMap<string, readonly Body[]>;

export type Notation = "gbnf" | "xgrammar";

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

export function readGbnf(text: string): Rules {
  const rules = new Map<string, readonly Body[]>();
  for (const line of text.split("\n")) {
    const [, name, body = ""] = /^([\w-]+) ::= (.*)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a rule: ${line.slice(0, 80)}`);
    rules.set(name, new Reader(body).bodies());
  }
  return rules;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  bodies(): readonly Body[] {
    const bodies: Body[] = [];
    for (;;) {
      bodies.push(this.#body());
      if (!this.#skip("|")) return bodies;
    }
  }

  #body(): Body {
    const nodes: Node[] = [];
    for (;;) {
      this.#blanks();
      const next = this.#text[this.#at];
      if (next === undefined || next === "|" || next === ")") return nodes;
      const read = this.#element(next);
      const bounds = this.#bounds();
      if (bounds === undefined) nodes.push(...read);
      // What is repeated is the last: of a literal with several characters this build repeats none.
      else nodes.push(...read.slice(0, -1), { kind: "repeat", node: last(read), ...bounds });
    }
  }

  #element(next: string): Body {
    if (next === '"') return this.#literal();
    if (next === "[") return [this.#characters()];
    if (next === "(") {
      this.#at += 1;
      const bodies = this.bodies();
      if (!this.#skip(")")) throw new Error("a group does not end");
      return [{ kind: "any", bodies }];
    }
    const token = this.#match(/<\[(\d+)\]>/y);
    if (token !== undefined) return [{ kind: "token", id: Number(token) }];
    const name = this.#match(/([\w-]+)/y);
    if (name !== undefined) return [{ kind: "rule", name }];
    throw new Error(`cannot read a grammar at ${this.#text.slice(this.#at, this.#at + 40)}`);
  }

  #literal(): Body {
    const nodes: Node[] = [];
    for (this.#at += 1; this.#text[this.#at] !== '"';) {
      const code = this.#code();
      nodes.push({ kind: "char", ranges: [[code, code]], negated: false });
    }
    this.#at += 1;
    return nodes;
  }

  #characters(): Node {
    this.#at += 1;
    const negated = this.#text[this.#at] === "^";
    if (negated) this.#at += 1;
    const ranges: [number, number][] = [];
    while (this.#text[this.#at] !== "]") {
      const low = this.#code();
      const isRange = this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]";
      if (isRange) this.#at += 1;
      ranges.push([low, isRange ? this.#code() : low]);
    }
    this.#at += 1;
    return { kind: "char", ranges, negated };
  }

  #code(): number {
    const code = this.#text.codePointAt(this.#at);
    if (code === undefined) throw new Error("a literal does not end");
    this.#at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const escaped = this.#text[this.#at] ?? "";
    this.#at += 1;
    const digits = HEX_DIGITS[escaped];
    if (digits === undefined) return (ESCAPES[escaped] ?? escaped).codePointAt(0) ?? 0;
    this.#at += digits;
    return Number.parseInt(this.#text.slice(this.#at - digits, this.#at), 16);
  }

  #bounds(): { readonly min: number; readonly max: number | undefined } | undefined {
    if (this.#skip("*")) return { min: 0, max: undefined };
    if (this.#skip("+")) return { min: 1, max: undefined };
    if (this.#skip("?")) return { min: 0, max: 1 };
    const given = this.#match(/\{(\d+(?:,\d*)?)\}/y);
    if (given === undefined) return undefined;
    const [min = "0", max] = given.split(",");
    return { min: Number(min), max: max === undefined ? Number(min) : max === "" ? undefined : Number(max) };
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at += found[0].length;
    return found[1];
  }

  #blanks(): void {
    while (this.#text[this.#at] === " ") this.#at += 1;
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

function last(nodes: Body): Node {
  const node = nodes.at(-1);
  if (node === undefined) throw new Error("nothing is repeated");
  return node;
}

/** `root`: what to print in the place of the rule of that name. */
export function printRules(rules: Rules, root: readonly Body[], notation: Notation): string {
  const all = [...rules].filter(([name]) => name !== "root");
  return [["root", root] as const, ...all]
    .map(([name, bodies]) => `${name} ::= ${printBodies(bodies, notation)}`)
    .join("\n");
}

function printBodies(bodies: readonly Body[], notation: Notation): string {
  return bodies.map((body) => printBody(body, notation)).join(" | ");
}

function printBody(body: Body, notation: Notation): string {
  return body.length === 0 ? '""' : body.map((node) => printNode(node, notation)).join(" ");
}

function printNode(node: Node, notation: Notation): string {
  switch (node.kind) {
    case "char":
      return printCharacters(node.ranges, node.negated);
    case "token":
      return notation === "gbnf" ? `<[${node.id}]>` : `Token(${node.id})`;
    case "rule":
      return node.name;
    case "any":
      return `(${printBodies(node.bodies, notation)})`;
    case "repeat":
      return `${printRepeated(node.node, notation)}{${node.min},${node.max ?? ""}}`;
  }
}

function printRepeated(node: Node, notation: Notation): string {
  return node.kind === "repeat" ? `(${printNode(node, notation)})` : printNode(node, notation);
}

function printCharacters(ranges: readonly (readonly [number, number])[], negated: boolean): string {
  const [only] = ranges;
  if (!negated && ranges.length === 1 && only !== undefined && only[0] === only[1])
    return `"${printCode(only[0])}"`;
  const printed = ranges.map(([low, high]) =>
    low === high ? printCode(low) : `${printCode(low)}-${printCode(high)}`,
  );
  return `[${negated ? "^" : ""}${printed.join("")}]`;
}

/** Escaped in the way that means the same in both notations, inside quotes and brackets alike. */
function printCode(code: number): string {
  const character = String.fromCodePoint(code);
  if (/[\w ,.:;{}]/.test(character)) return character;
  const hex = code.toString(16);
  return code > 0xffff ? String.raw`\U${hex.padStart(8, "0")}` : String.raw`\u${hex.padStart(4, "0")}`;
}
