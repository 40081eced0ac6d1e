/**
 * The grammar of calling tools, in a model's own form of it: only tools that were offered, arguments as their schemas say
 * (strict) or at least a JSON object. The marks are tokens by id, so a model cannot spell them out letter by letter. Pure.
 */
import type { ToolMarks } from "../engines/engine.ts";
import type { OfferedTool } from "./form.ts";
import { anyOf, type Gbnf, literal, tokenOf } from "./gbnf.ts";
import { anyObject, anyValue } from "./json.ts";
import { schemaRule } from "./schema.ts";

/** The part behind the token that opens the section, up to the answer's end. */
export function sectionRule(
  gbnf: Gbnf,
  marks: ToolMarks,
  tools: readonly OfferedTool[],
  parallel: boolean,
): string {
  if (marks.format === "v3.2") return dsmlSection(gbnf, marks.dsml, tools, parallel);
  const calls = tools.map((tool) => {
    const args = argumentsRule(gbnf, tool);
    return marks.format === "v3"
      ? `"function" ${tokenOf(marks.sep)} ${literal(tool.name)} "\\n\`\`\`json\\n" ${args} "\\n\`\`\`"`
      : `${literal(tool.name)} ${tokenOf(marks.sep)} ${args}`;
  });
  const call = gbnf.rule(`${tokenOf(marks.callBegin)} ${anyOf(calls)} ${tokenOf(marks.callEnd)}`);
  const between = marks.format === "v3" ? String.raw`"\n" ` : "";
  return `${call}${parallel ? ` (${between}${call})*` : ""} ${tokenOf(marks.callsEnd)}`;
}

/** The token that opens the section, and what stands before it in the answer. */
export function openingOf(marks: ToolMarks): { readonly token: number; readonly before: string } {
  return marks.format === "v3.2"
    ? { token: marks.dsml, before: String.raw`"\n\n<" ` }
    : { token: marks.callsBegin, before: "" };
}

function argumentsRule(gbnf: Gbnf, { strict, schema }: OfferedTool): string {
  return strict && schema !== undefined ? schemaRule(gbnf, schema, { strict }) : anyObject(gbnf);
}

function dsmlSection(gbnf: Gbnf, dsml: number, tools: readonly OfferedTool[], parallel: boolean): string {
  const mark = tokenOf(dsml);
  const invokes = tools.map((tool) => {
    const name = literal(` name="${tool.name}">\n`);
    return `"<" ${mark} "invoke" ${name} ${dsmlParameters(gbnf, mark, tool)} "</" ${mark} "invoke>\\n"`;
  });
  const invoke = gbnf.rule(anyOf(invokes));
  return `"function_calls>\\n" ${invoke}${parallel ? "+" : ""} "</" ${mark} "function_calls>"`;
}

/** Of a strict tool every parameter in order, as strict schemas have them; of another, any. */
function dsmlParameters(gbnf: Gbnf, mark: string, tool: OfferedTool): string {
  const text = gbnf.define("dsml-text", '([^<] | "<" [^/])*');
  const parameter = (name: string, isString: boolean, value: string): string =>
    `"<" ${mark} ${literal(`parameter name="`)} ${name} ${literal(`" string="${isString}">`)} ${value} "</" ${mark} "parameter>\\n"`;
  if (!tool.strict) {
    const name = gbnf.define("dsml-name", "[a-zA-Z0-9_.-]{1,64}");
    const any = gbnf.rule(`${parameter(name, true, text)} | ${parameter(name, false, anyValue(gbnf))}`);
    return `${any}*`;
  }
  const { properties, ...around } = Object(tool.schema) as { readonly properties?: object };
  // The whole is checked as a schema, and its parts are used.
  schemaRule(gbnf, tool.schema, { strict: true });
  const parts = Object.entries(properties ?? {}).map(([name, raw]) => {
    const schema: unknown = { ...Object(raw), $defs: (around as { $defs?: unknown }).$defs };
    const isText =
      (Object(raw) as { type?: unknown; enum?: unknown }).type === "string" && !("enum" in Object(raw));
    const value = isText ? text : schemaRule(gbnf, withoutUndefined(schema), { strict: true });
    return parameter(literal(name), isText, value);
  });
  return parts.length === 0 ? '""' : parts.join(" ");
}

function withoutUndefined(schema: unknown): unknown {
  return Object.fromEntries(
    Object.entries(Object(schema) as object).filter(([, value]) => value !== undefined),
  );
}
