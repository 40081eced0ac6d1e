/**
 * What is left of a grammar behind a beginning of an answer, as a grammar: so a server that takes a grammar with every
 * request and forgets it afterwards can continue an answer another request, or another node, has begun. Pure.
 *
 * The state is a set of what may still follow, each a list of nodes (the derivative of the grammar by what was read). What
 * is equal is the same object, so a set of them stays small: the grammars made here are all but deterministic.
 */
import { decodeMore, NO_BYTES } from "../answer/utf8.ts";
import type { Token } from "../engines/engine.ts";
import { type Body, type Node, type Notation, printRules, readGbnf, type Rules } from "./gbnf-reader.ts";

/** What may follow; `undefined`: nothing, the answer is whole. */
type Rest = { readonly id: number; readonly node: Node; readonly next: Rest | undefined } | undefined;

/** More ways to go on than this are not followed. */
const WAYS_MAX = 4_096;

export type Left =
  /** `whole`: nothing may follow but the end. */
  | { readonly ok: true; readonly whole: boolean; readonly print: (notation: Notation) => string }
  /** What was read is not of this grammar, or ends inside a character, or there are too many ways to go on. */
  | { readonly ok: false; readonly why: string };

export function leftOf(gbnf: string, read: readonly Token[]): Left {
  try {
    return follow(gbnf, read);
  } catch (error) {
    if (error instanceof TooManyWays) return { ok: false, why: "the form can go on in too many ways here" };
    throw error;
  }
}

class TooManyWays extends Error {}

function follow(gbnf: string, read: readonly Token[]): Left {
  const rules = readGbnf(gbnf);
  const walk = new Walk(rules);
  let ways: readonly Rest[] = walk.begin();
  let half: Uint8Array = NO_BYTES;
  for (const token of read) {
    const byId = walk.step(ways, (node) => node.kind === "token" && node.id === token.id);
    const { text, rest } = decodeMore(half, token.bytes);
    half = rest;
    let byText = token.bytes.length === 0 ? [] : ways;
    for (const character of text) {
      const code = character.codePointAt(0) ?? 0;
      byText = walk.step(byText, (node) => node.kind === "char" && matches(node, code));
    }
    ways = [...new Set([...byId, ...byText])];
    if (ways.length === 0)
      return { ok: false, why: "what was delivered is not of the form that is asked for" };
  }
  if (half.length > 0) return { ok: false, why: "what was delivered ends inside a character" };
  const whole = ways.every((way) => way === undefined);
  const root = ways.map(bodyOf);
  return { ok: true, whole, print: (notation) => printRules(rules, root, notation) };
}

function matches(node: Node & { readonly kind: "char" }, code: number): boolean {
  return node.ranges.some(([low, high]) => code >= low && code <= high) !== node.negated;
}

function bodyOf(way: Rest): Body {
  const nodes: Node[] = [];
  for (let at = way; at !== undefined; at = at.next) nodes.push(at.node);
  return nodes;
}

class Walk {
  readonly #rules: Rules;
  readonly #nodeIds = new Map<Node, number>();
  readonly #rests = new Map<string, NonNullable<Rest>>();
  readonly #fewer = new Map<string, Node>();

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  begin(): readonly Rest[] {
    return (this.#rules.get("root") ?? []).map((body) => this.#before(body, undefined));
  }

  /** What may follow once a node that `takes` stands first and is passed. */
  step(ways: readonly Rest[], takes: (node: Node) => boolean): readonly Rest[] {
    const next = new Set<Rest>();
    const seen = new Set<Rest>();
    const open = [...ways];
    while (open.length > 0) {
      const way = open.pop();
      if (way === undefined || seen.has(way)) continue;
      seen.add(way);
      if (seen.size > WAYS_MAX) throw new TooManyWays();
      const { node, next: rest } = way;
      switch (node.kind) {
        case "char":
        case "token":
          if (takes(node)) next.add(rest);
          break;
        case "rule":
          for (const body of this.#rules.get(node.name) ?? []) open.push(this.#before(body, rest));
          break;
        case "any":
          for (const body of node.bodies) open.push(this.#before(body, rest));
          break;
        case "repeat":
          if (node.min === 0) open.push(rest);
          if (node.max !== 0) open.push(this.#before([node.node, ...this.#oneFewer(node)], rest));
          break;
      }
    }
    return [...next];
  }

  #before(body: Body, rest: Rest): Rest {
    return body.reduceRight<Rest>((next, node) => this.#join(node, next), rest);
  }

  /** Equal parts make the same object. */
  #join(node: Node, next: Rest): NonNullable<Rest> {
    const key = `${this.#idOf(node)} ${next?.id ?? -1}`;
    let rest = this.#rests.get(key);
    if (rest === undefined) this.#rests.set(key, (rest = { id: this.#rests.size, node, next }));
    return rest;
  }

  #oneFewer(node: Node & { readonly kind: "repeat" }): Body {
    if (node.max === 1) return [];
    const min = Math.max(0, node.min - 1);
    const max = node.max === undefined ? undefined : node.max - 1;
    if (min === node.min && max === node.max) return [node];
    const key = `${this.#idOf(node.node)} ${min} ${max}`;
    let fewer = this.#fewer.get(key);
    if (fewer === undefined) this.#fewer.set(key, (fewer = { ...node, min, max }));
    return [fewer];
  }

  #idOf(node: Node): number {
    let id = this.#nodeIds.get(node);
    if (id === undefined) this.#nodeIds.set(node, (id = this.#nodeIds.size));
    return id;
  }
}
