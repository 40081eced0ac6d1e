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
type Rest = { readonly node: Node; readonly next: Rest } | undefined;

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
  /** By what comes behind it, so that equal parts are the same object. */
  readonly #rests = new Map<Node, Map<Rest, NonNullable<Rest>>>();
  readonly #fewer = new Map<Node, Body>();
  /** What can stand first, found once: inside a string it is the same again and again. */
  readonly #firsts = new Map<NonNullable<Rest>, readonly NonNullable<Rest>[]>();

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  begin(): readonly Rest[] {
    return (this.#rules.get("root") ?? []).map((body) => this.#before(body, undefined));
  }

  /** What may follow once a node that `takes` stands first and is passed. */
  step(ways: readonly Rest[], takes: (node: Node) => boolean): readonly Rest[] {
    const next = new Set<Rest>();
    for (const way of ways) {
      if (way === undefined) continue;
      for (const first of this.#firstsOf(way)) if (takes(first.node)) next.add(first.next);
    }
    return [...next];
  }

  /** Where a character or a token stands first. */
  #firstsOf(way: NonNullable<Rest>): readonly NonNullable<Rest>[] {
    const known = this.#firsts.get(way);
    if (known !== undefined) return known;
    const firsts: NonNullable<Rest>[] = [];
    const seen = new Set<Rest>();
    const open: Rest[] = [way];
    while (open.length > 0) {
      const at = open.pop();
      if (at === undefined || seen.has(at)) continue;
      seen.add(at);
      if (seen.size > WAYS_MAX) throw new TooManyWays();
      const { node, next: rest } = at;
      switch (node.kind) {
        case "char":
        case "token":
          firsts.push(at);
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
    this.#firsts.set(way, firsts);
    return firsts;
  }

  #before(body: Body, rest: Rest): Rest {
    return body.reduceRight<Rest>((next, node) => this.#join(node, next), rest);
  }

  #join(node: Node, next: Rest): NonNullable<Rest> {
    let behind = this.#rests.get(node);
    if (behind === undefined) this.#rests.set(node, (behind = new Map()));
    let rest = behind.get(next);
    if (rest === undefined) behind.set(next, (rest = { node, next }));
    return rest;
  }

  /** What is left of a repetition once one is taken. */
  #oneFewer(node: Node & { readonly kind: "repeat" }): Body {
    if (node.max === 1) return [];
    let fewer = this.#fewer.get(node);
    if (fewer === undefined) {
      const min = Math.max(0, node.min - 1);
      const max = node.max === undefined ? undefined : node.max - 1;
      fewer = [min === node.min && max === node.max ? node : { ...node, min, max }];
      this.#fewer.set(node, fewer);
    }
    return fewer;
  }
}
