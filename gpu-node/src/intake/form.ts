/**
 * The fields that bind an answer's form: `response_format`, `tools`, `tool_choice`. Pure. Shapes: OpenAI's chat completions
 * reference; DeepSeek's limits on tools are the same or narrower.
 */
import { z } from "zod";
import type { Tool } from "../engines/engine.ts";
import type { Form } from "../grammar/form.ts";
import { invalidField, unsupported, type Refused } from "./refuse.ts";

const TOOLS_MAX = 128;
const NAME = /^[\w.-]{1,64}$/;
const DESCRIPTION_CHARS_MAX = 65_536;

const OfferedTool = z.object({
  type: z.string(),
  function: z
    .object({
      name: z.string().regex(NAME, { error: "must be 1 to 64 letters, digits, -, _ or ." }),
      description: z.string().max(DESCRIPTION_CHARS_MAX).nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish(),
      strict: z.boolean().nullish(),
    })
    .optional(),
});

const ToolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string() }).optional() }),
]);

export const formFields = {
  response_format: z
    .looseObject({
      type: z.string(),
      json_schema: z
        .looseObject({
          name: z
            .string()
            .regex(/^[\w-]{1,64}$/, { error: "must be 1 to 64 letters, digits, - or _" })
            .nullish(),
          schema: z.record(z.string(), z.unknown()).nullish(),
          strict: z.boolean().nullish(),
        })
        .nullish(),
    })
    .nullish(),
  tools: z.array(OfferedTool).max(TOOLS_MAX).nullish(),
  tool_choice: ToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.array(z.unknown()).nullish(),
  function_call: z.unknown().optional(),
};
const FormBody = z.object(formFields);
type FormBody = z.infer<typeof FormBody>;

export type ReadForm = { readonly ok: true; readonly form: Form; readonly tools: readonly Tool[] } | Refused;

export function readForm(body: FormBody): ReadForm {
  if ((body.functions ?? []).length > 0)
    return unsupported("functions", "the older form of tools ('tools' is the newer)");
  const format = formatOf(body.response_format);
  if (!format.ok) return format;
  const names = new Set<string>();
  const offered: { name: string; strict: boolean; schema: unknown }[] = [];
  const tools: Tool[] = [];
  for (const [at, { type, function: described }] of (body.tools ?? []).entries()) {
    if (type !== "function" || described === undefined)
      return unsupported(`tools[${at}].type`, `a tool of the type '${type.slice(0, 40)}'`);
    const { name, description, parameters, strict } = described;
    if (names.has(name)) return invalidField(`tools[${at}].function.name`, `two tools are called '${name}'`);
    names.add(name);
    offered.push({ name, strict: strict ?? false, schema: parameters ?? undefined });
    tools.push({
      name,
      description: description ?? "",
      parameters: JSON.stringify(parameters ?? { type: "object", properties: {} }),
    });
  }
  return choose(body, { format: format.format, offered, tools });
}

type Offer = {
  readonly format: Form["format"];
  readonly offered: Form["tools"];
  readonly tools: readonly Tool[];
};

function choose(body: FormBody, { format, offered, tools }: Offer): ReadForm {
  const choice = body.tool_choice ?? (offered.length > 0 ? "auto" : "none");
  const parallel = body.parallel_tool_calls ?? true;
  if (choice === "none") {
    // The model is told of no tools: so it calls none.
    return { ok: true, form: { format, tools: [], call: "may", parallel }, tools: [] };
  }
  if (offered.length === 0) {
    if (choice === "auto") return { ok: true, form: { format, tools: [], call: "may", parallel }, tools: [] };
    return invalidField("tool_choice", "there are no tools to choose from");
  }
  if (choice === "auto" || choice === "required") {
    const call = choice === "required" ? "must" : "may";
    return { ok: true, form: { format, tools: offered, call, parallel }, tools };
  }
  if (choice.type !== "function" || choice.function === undefined)
    return unsupported("tool_choice.type", `a choice of the type '${choice.type.slice(0, 40)}'`);
  const { name } = choice.function;
  const named = offered.filter((tool) => tool.name === name);
  if (named.length === 0)
    return invalidField("tool_choice.function.name", `no tool is called '${name.slice(0, 64)}'`);
  return { ok: true, form: { format, tools: named, call: "must", parallel: false }, tools };
}

function formatOf(
  format: FormBody["response_format"],
): { readonly ok: true; readonly format: Form["format"] } | Refused {
  switch (format?.type) {
    case undefined:
    case "text":
      return { ok: true, format: { kind: "text" } };
    case "json_object":
      return { ok: true, format: { kind: "json" } };
    case "json_schema": {
      const described = format.json_schema;
      if (described === null || described === undefined)
        return invalidField("response_format.json_schema", "it is missing");
      if (described.schema === null || described.schema === undefined)
        return { ok: true, format: { kind: "json" } };
      const { schema, strict } = described;
      return { ok: true, format: { kind: "schema", schema, strict: strict ?? false } };
    }
    default:
      return unsupported("response_format.type", `the format '${format?.type.slice(0, 40)}'`);
  }
}
