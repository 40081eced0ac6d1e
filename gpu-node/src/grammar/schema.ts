/**
 * From a JSON Schema to grammar rules. Pure. What OpenAI's strict mode knows is done exactly: types, enum, const, anyOf,
 * $ref and $defs (recursion too), objects with required and optional properties, arrays with bounds, string lengths and
 * common formats, ranges of integers. What it does not know is a mistake in strict mode, and otherwise left to the
 * model: an answer that keeps to more than was checked is still a good answer.
 *
 * Properties come in the schema's order. Bounded: nodes, depth, repetitions; a schema is a client's text.
 */
import { Beginnings } from "./beginnings.ts";
import { anyOf, type Gbnf, literal } from "./gbnf.ts";
import {
  anyArray,
  anyNumber,
  anyObject,
  anyString,
  anyValue,
  blank,
  boolean,
  character,
  fraction,
  integer,
} from "./json.ts";
import { integersBetween } from "./ranges.ts";
import { FORMATS } from "./formats.ts";
import { guessed, type Node, readNode, resolve, SchemaFault, type Type } from "./schema-node.ts";

const NODES_MAX = 5_000;
const DEPTH_MAX = 64;
/** llama.cpp refuses more; so do we, with the field's name. */
const REPETITIONS_MAX = 1_000;
/**
 * Schemas that may stand open at one place, by anyOf in anyOf: each token is held against all of them (300 strings of bounded
 * length took half a second a token).
 */
const ALTERNATIVES_MAX = 64;

export type Strictness = { readonly strict: boolean };

/** The name of the rule that matches what `schema` allows. Throws SchemaFault. */
export function schemaRule(gbnf: Gbnf, schema: unknown, { strict }: Strictness): string {
  return new Compiler(gbnf, schema, strict).compile(schema, "", 0);
}

class Compiler {
  readonly #gbnf: Gbnf;
  readonly #root: unknown;
  readonly #strict: boolean;
  readonly #refs = new Map<string, string>();
  readonly #beginnings = new Beginnings();
  /** How many alternatives a rule begins with, where it is more than one. */
  readonly #alternatives = new Map<string, number>();
  #nodes = 0;

  constructor(gbnf: Gbnf, root: unknown, strict: boolean) {
    this.#gbnf = gbnf;
    this.#root = root;
    this.#strict = strict;
  }

  compile(schema: unknown, path: string, depth: number): string {
    this.#nodes += 1;
    if (this.#nodes > NODES_MAX) throw new SchemaFault(path, `a schema may have ${NODES_MAX} parts`);
    if (depth > DEPTH_MAX) throw new SchemaFault(path, `a schema may be ${DEPTH_MAX} levels deep`);
    if (schema === true) return anyValue(this.#gbnf);
    const node = readNode(schema, path, this.#strict);
    const body = this.#body(node, path, depth);
    return this.#beginsAs(this.#gbnf.rule(body), body);
  }

  #beginsAs(rule: string, other: string): string {
    this.#alternatives.set(rule, this.#alternatives.get(other) ?? 1);
    return rule;
  }

  #body(node: Node, path: string, depth: number): string {
    if (node.$ref !== undefined) return this.#reference(node.$ref, path, depth);
    if ("const" in node) return literal(JSON.stringify(node.const));
    if (node.enum !== undefined) return anyOf(node.enum.map((value) => literal(JSON.stringify(value))));
    for (const key of ["anyOf", "oneOf"] as const) {
      const choices = node[key];
      if (choices !== undefined) return this.#oneOf(choices, `${path}.${key}`, depth);
    }
    if (node.allOf !== undefined) return this.#all(node, node.allOf, path, depth);
    const types = node.type === undefined ? guessed(node) : [node.type].flat();
    if (types.length === 0) return anyValue(this.#gbnf);
    return anyOf(types.map((type) => this.#typed(type, node, path, depth)));
  }

  #oneOf(choices: readonly unknown[], path: string, depth: number): string {
    const rules = choices.map((choice, at) => this.compile(choice, `${path}[${at}]`, depth + 1));
    const count = rules.reduce((sum, rule) => sum + (this.#alternatives.get(rule) ?? 1), 0);
    if (count > ALTERNATIVES_MAX)
      throw new SchemaFault(path, `may leave ${ALTERNATIVES_MAX} alternatives open at one place`);
    const rule = this.#gbnf.rule(anyOf(rules));
    this.#alternatives.set(rule, count);
    return rule;
  }

  /** Several at once can be bound by one grammar only where there is one. */
  #all(node: Node, all: readonly unknown[], path: string, depth: number): string {
    if (all.length === 1) return this.compile(all[0], `${path}.allOf[0]`, depth + 1);
    if (this.#strict) throw new SchemaFault(`${path}.allOf`, "more than one schema at once is not supported");
    const { allOf: _, ...rest } = node;
    return this.#body(rest, path, depth);
  }

  #typed(type: Type, node: Node, path: string, depth: number): string {
    switch (type) {
      case "object":
        return this.#beginnings.inside(undefined, () => this.#object(node, path, depth));
      case "array":
        return this.#beginnings.inside(undefined, () => this.#array(node, path, depth));
      case "string":
        return this.#string(node, path);
      case "number":
        return this.#number(node, path);
      case "integer":
        return this.#integer(node, path);
      case "boolean":
        return boolean(this.#gbnf);
      case "null":
        return '"null"';
    }
  }

  #reference(ref: string, path: string, depth: number): string {
    if (!this.#beginnings.add(ref))
      throw new SchemaFault(`${path}.$ref`, "it refers to itself with nothing in between");
    const known = this.#refs.get(ref);
    if (known !== undefined) return known;
    const target = resolve(this.#root, ref);
    if (target === undefined)
      throw new SchemaFault(`${path}.$ref`, `there is nothing at '${ref.slice(0, 100)}'`);
    const name = this.#gbnf.reserve();
    this.#refs.set(ref, name);
    const rule = this.#beginnings.inside(ref, () => this.compile(target, path, depth + 1));
    return this.#beginsAs(this.#gbnf.define(name, rule), rule);
  }

  #object(node: Node, path: string, depth: number): string {
    const properties = Object.entries(node.properties ?? {});
    const extra = node.additionalProperties;
    this.#checkObject(node, path);
    if (properties.length === 0 && (extra === undefined || extra === true)) return anyObject(this.#gbnf);
    const ws = blank(this.#gbnf);
    const required = new Set(node.required ?? []);
    const members = properties.map(([key, value]) => ({
      required: required.has(key),
      rule: this.#gbnf.rule(
        `${literal(JSON.stringify(key))} ${ws} ":" ${ws} ${this.compile(value, `${path}.properties.${key}`, depth + 1)}`,
      ),
    }));
    // From the last to the first: what may follow once something, or nothing, stands before it.
    const more = this.#extras(extra, path, depth);
    let following = more === undefined ? "" : `("," ${ws} ${more} ${ws})*`;
    let first = more === undefined ? "" : `(${more} ${ws} ("," ${ws} ${more} ${ws})*)?`;
    for (const member of members.toReversed()) {
      const rest = following === "" ? '""' : following;
      const begin = first === "" ? '""' : first;
      const next = `"," ${ws} ${member.rule} ${ws} ${rest}`;
      first = this.#gbnf.rule(
        member.required ? `${member.rule} ${ws} ${rest}` : `${member.rule} ${ws} ${rest} | ${begin}`,
      );
      following = this.#gbnf.rule(member.required ? next : `${next} | ${rest}`);
    }
    return `"{" ${ws} ${first === "" ? '""' : first} "}"`;
  }

  #checkObject(node: Node, path: string): void {
    const keys = new Set(Object.keys(node.properties ?? {}));
    const unknown = (node.required ?? []).find((key) => !keys.has(key));
    if (unknown !== undefined)
      throw new SchemaFault(`${path}.required`, `'${unknown.slice(0, 100)}' is not among the properties`);
    if (!this.#strict) return;
    if (node.additionalProperties !== false)
      throw new SchemaFault(`${path}.additionalProperties`, "must be false in strict mode");
    const optional = [...keys].find((key) => !(node.required ?? []).includes(key));
    if (optional !== undefined)
      throw new SchemaFault(
        `${path}.required`,
        `must name every property in strict mode, and '${optional.slice(0, 100)}' is missing`,
      );
  }

  /** A member beyond the named ones, where the schema asks for them in so many words. */
  #extras(extra: unknown, path: string, depth: number): string | undefined {
    if (extra === undefined || extra === false) return undefined;
    const value = this.compile(extra, `${path}.additionalProperties`, depth + 1);
    const ws = blank(this.#gbnf);
    return this.#gbnf.rule(`${anyString(this.#gbnf)} ${ws} ":" ${ws} ${value}`);
  }

  #array(node: Node, path: string, depth: number): string {
    const ws = blank(this.#gbnf);
    const fixed = (node.prefixItems ?? []).map((item, at) =>
      this.compile(item, `${path}.prefixItems[${at}]`, depth + 1),
    );
    if (fixed.length > 0) return `"[" ${ws} ${fixed.map((item) => `${item} ${ws}`).join(` "," ${ws} `)} "]"`;
    const { minItems: min = 0, maxItems: max } = node;
    this.#checkBounds({ min, max }, path, ["minItems", "maxItems"]);
    if (node.items === undefined && min === 0 && max === undefined) return anyArray(this.#gbnf);
    const item =
      node.items === undefined ? anyValue(this.#gbnf) : this.compile(node.items, `${path}.items`, depth + 1);
    if (max === 0) return `"[" ${ws} "]"`;
    const following = this.#gbnf.rule(`"," ${ws} ${item} ${ws}`);
    const rest = `${item} ${ws} ${this.#gbnf.repeat(following, Math.max(0, min - 1), max === undefined ? undefined : max - 1)}`;
    return `"[" ${ws} ${min === 0 ? `(${rest})?` : rest} "]"`;
  }

  #string(node: Node, path: string): string {
    const format =
      node.format !== undefined && Object.hasOwn(FORMATS, node.format) ? FORMATS[node.format] : undefined;
    if (node.format !== undefined && format === undefined && this.#strict)
      throw new SchemaFault(`${path}.format`, `'${node.format.slice(0, 50)}' is not supported`);
    if (format !== undefined && this.#strict)
      for (const key of ["minLength", "maxLength"] as const)
        if (node[key] !== undefined)
          throw new SchemaFault(`${path}.${key}`, "may not stand beside 'format' in strict mode");
    if (format !== undefined) return `"\\"" ${this.#gbnf.define(`format-${node.format}`, format)} "\\""`;
    const { minLength: min = 0, maxLength: max } = node;
    this.#checkBounds({ min, max }, path, ["minLength", "maxLength"]);
    if (min === 0 && max === undefined) return anyString(this.#gbnf);
    return `"\\"" ${this.#gbnf.repeat(character(this.#gbnf), min, max)} "\\""`;
  }

  #integer(node: Node, path: string): string {
    const min = Math.max(node.minimum ?? -Infinity, Math.floor(node.exclusiveMinimum ?? -Infinity) + 1);
    const max = Math.min(node.maximum ?? Infinity, Math.ceil(node.exclusiveMaximum ?? Infinity) - 1);
    if (min === -Infinity && max === Infinity) return integer(this.#gbnf);
    const body = integersBetween(min, max);
    if (body === undefined)
      throw new SchemaFault(`${path}.maximum`, "there is no integer between the bounds");
    return body;
  }

  /** Of fractions only the sign can be bound. */
  #number(node: Node, path: string): string {
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = node;
    const bound = minimum ?? maximum ?? exclusiveMinimum ?? exclusiveMaximum;
    if (bound === undefined) return anyNumber(this.#gbnf);
    if (
      minimum === 0 &&
      maximum === undefined &&
      exclusiveMinimum === undefined &&
      exclusiveMaximum === undefined
    )
      return `("0" | [1-9] [0-9]{0,14}) ${fraction(this.#gbnf)}`;
    if (this.#strict)
      throw new SchemaFault(
        path,
        "bounds of a number other than 'minimum': 0 are not supported in strict mode",
      );
    return anyNumber(this.#gbnf);
  }

  #checkBounds(
    { min, max }: { readonly min: number; readonly max: number | undefined },
    path: string,
    [minName, maxName]: readonly [string, string],
  ): void {
    if (min > REPETITIONS_MAX)
      throw new SchemaFault(`${path}.${minName}`, `may be ${REPETITIONS_MAX} at most`);
    if ((max ?? 0) > REPETITIONS_MAX)
      throw new SchemaFault(`${path}.${maxName}`, `may be ${REPETITIONS_MAX} at most`);
    if (max !== undefined && max < min)
      throw new SchemaFault(`${path}.${maxName}`, `is less than ${minName}`);
  }
}
