/**
 * The grammar of a whole answer, from what a call asks of its form: free text, JSON, a schema; tools or none. Pure.
 *
 * Thinking is never bound: a grammar begins behind it. Where tools may be called and need not be, free text is bound from the
 * token on that opens a tool section; an answer in JSON is bound from its beginning, with the section as the other way.
 */
import type { Grammar, ToolMarks } from "../engines/engine.ts";
import { Gbnf, GrammarTooLarge } from "./gbnf.ts";
import { anyObject } from "./json.ts";
import { schemaRule } from "./schema.ts";
import { SchemaFault } from "./schema-node.ts";
import type { Form, Format } from "./form.ts";
import { openingOf, sectionRule } from "./tools.ts";
import { tokenOf } from "./gbnf.ts";

export type Built =
  | { readonly ok: true; readonly grammar: Grammar | undefined }
  /** `path` is below the call: `response_format.json_schema.schema.properties.x`. */
  | { readonly ok: false; readonly path: string; readonly message: string };

export function answerGrammar(
  form: Form,
  marks: ToolMarks | undefined,
  thinkClose: number | undefined,
): Built {
  const gbnf = new Gbnf();
  const after = thinkClose === undefined ? {} : { after: thinkClose };
  try {
    const tools = marks === undefined ? undefined : toolsPart(gbnf, form, marks);
    const text = formatPart(gbnf, form.format);
    if (tools !== undefined && form.call === "must")
      return { ok: true, grammar: { gbnf: gbnf.print(tools.whole), ...after } };
    if (tools !== undefined && text === undefined)
      return { ok: true, grammar: { gbnf: gbnf.print(tools.section), after: tools.token } };
    const bodies = [text, tools?.whole].filter((body) => body !== undefined);
    if (bodies.length === 0) return { ok: true, grammar: undefined };
    return { ok: true, grammar: { gbnf: gbnf.print(bodies.join(" | ")), ...after } };
  } catch (error) {
    if (error instanceof Fault) return { ok: false, path: error.path, message: error.message };
    throw error;
  }
}

class Fault extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/** Runs what reads a schema at `path`, so that its faults name the whole way to them. */
function reading<Value>(path: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof SchemaFault) throw new Fault(path + error.path, error.message);
    if (error instanceof GrammarTooLarge) throw new Fault(path, error.message);
    throw error;
  }
}

function formatPart(gbnf: Gbnf, format: Format): string | undefined {
  switch (format.kind) {
    case "text":
      return undefined;
    case "json":
      return anyObject(gbnf);
    case "schema": {
      const { schema, strict } = format;
      return reading("response_format.json_schema.schema", () => schemaRule(gbnf, schema, { strict }));
    }
  }
}

function toolsPart(
  gbnf: Gbnf,
  { tools, parallel }: Form,
  marks: ToolMarks,
): { readonly whole: string; readonly section: string; readonly token: number } | undefined {
  if (tools.length === 0) return undefined;
  // Each by itself first: so a fault is named by the tool it is in.
  for (const [at, tool] of tools.entries())
    if (tool.strict && tool.schema !== undefined)
      reading(`tools[${at}].function.parameters`, () =>
        schemaRule(new Gbnf(), tool.schema, { strict: true }),
      );
  const section = reading("tools", () => gbnf.rule(sectionRule(gbnf, marks, tools, parallel)));
  const { token, before } = openingOf(marks);
  return { whole: `${before}${tokenOf(token)} ${section}`, section, token };
}
