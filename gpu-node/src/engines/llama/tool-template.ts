/**
 * Tools in a DeepSeek prompt: which are offered, what was called, what came of it. Pure. The three forms are those the models
 * were trained on, to the letter: R1 and V3, V3.1, V3.2. Marks are the template's, names and texts are content and can forge none.
 */
import type { Tool, ToolCall, ToolMarks } from "../engine.ts";
import { type Segment, content, template } from "./segments.ts";

export type ToolFormat = ToolMarks["format"];

export const CALLS_BEGIN = "<\uff5ctool\u2581calls\u2581begin\uff5c>";
export const CALLS_END = "<\uff5ctool\u2581calls\u2581end\uff5c>";
export const CALL_BEGIN = "<\uff5ctool\u2581call\u2581begin\uff5c>";
export const CALL_END = "<\uff5ctool\u2581call\u2581end\uff5c>";
export const SEP = "<\uff5ctool\u2581sep\uff5c>";
export const DSML = "\uff5cDSML\uff5c";
const OUTPUTS_BEGIN = "<\uff5ctool\u2581outputs\u2581begin\uff5c>";
const OUTPUTS_END = "<\uff5ctool\u2581outputs\u2581end\uff5c>";
const OUTPUT_BEGIN = "<\uff5ctool\u2581output\u2581begin\uff5c>";
const OUTPUT_END = "<\uff5ctool\u2581output\u2581end\uff5c>";

/** The ids of a form's marks; undefined where the vocabulary lacks one. */
export function toolMarks(format: ToolFormat, spellings: ReadonlyMap<string, number>): ToolMarks | undefined {
  if (format === "v3.2") {
    const dsml = spellings.get(DSML);
    return dsml === undefined ? undefined : { format, dsml };
  }
  const [callsBegin, callsEnd, callBegin, callEnd, sep] = [
    CALLS_BEGIN,
    CALLS_END,
    CALL_BEGIN,
    CALL_END,
    SEP,
  ].map((spelling) => spellings.get(spelling));
  if (
    callsBegin === undefined ||
    callsEnd === undefined ||
    callBegin === undefined ||
    callEnd === undefined ||
    sep === undefined
  )
    return undefined;
  return { format, callsBegin, callsEnd, callBegin, callEnd, sep };
}

/** What follows the system's text. */
export function offer(format: ToolFormat, tools: readonly Tool[]): readonly Segment[] {
  switch (format) {
    case "v3":
      return [
        template("\n\n## Tools\n\n### Function\n\nYou have the following functions available:\n"),
        ...tools.flatMap((tool) => [
          template("\n- `"),
          content(tool.name),
          template("`:\n```json\n"),
          content(schemaOf(tool)),
          template("\n```\n"),
        ]),
      ];
    case "v3.1":
      return [
        template("\n\n## Tools\nYou have access to the following tools:\n"),
        ...tools.flatMap((tool) => [
          template("\n### "),
          content(tool.name),
          template("\nDescription: "),
          content(tool.description),
          template("\n\nParameters: "),
          content(tool.parameters),
          template("\n"),
        ]),
        template(V31_RULES),
      ];
    case "v3.2":
      return [
        template(`\n\n${V32_INTRODUCTION}`),
        content(tools.map(schemaOf).join("\n")),
        template("\n</functions>\n"),
      ];
  }
}

/** What an assistant called, behind what it said. */
export function calls(format: ToolFormat, made: readonly ToolCall[]): readonly Segment[] {
  switch (format) {
    case "v3":
      return [
        template(CALLS_BEGIN),
        ...made.flatMap((call, at) => [
          template(`${at === 0 ? "" : "\n"}${CALL_BEGIN}function${SEP}`),
          content(`${call.name}\n\`\`\`json\n${call.arguments}\n\`\`\``),
          template(CALL_END),
        ]),
        template(CALLS_END),
      ];
    case "v3.1":
      return [
        template(CALLS_BEGIN),
        ...made.flatMap((call) => [
          template(CALL_BEGIN),
          content(call.name),
          template(SEP),
          content(call.arguments),
          template(CALL_END),
        ]),
        template(CALLS_END),
      ];
    case "v3.2":
      return [
        template(`\n\n<${DSML}function_calls>\n`),
        ...made.flatMap((call) => [
          template(`<${DSML}invoke name="`),
          content(call.name),
          template('">\n'),
          ...Object.entries(Object(JSON.parse(call.arguments)) as object).flatMap(parameter),
          template(`</${DSML}invoke>\n`),
        ]),
        template(`</${DSML}function_calls>`),
      ];
  }
}

function parameter([name, value]: readonly [string, unknown]): readonly Segment[] {
  const isText = typeof value === "string";
  return [
    template(`<${DSML}parameter name="`),
    content(name),
    template(`" string="${isText}">`),
    content(isText ? value : JSON.stringify(value)),
    template(`</${DSML}parameter>\n`),
  ];
}

/** What neighbouring results of tools look like. */
export function results(format: ToolFormat, texts: readonly string[]): readonly Segment[] {
  switch (format) {
    case "v3":
      return [
        template(OUTPUTS_BEGIN),
        ...texts.flatMap((text, at) => [
          template(`${at === 0 ? "" : "\n"}${OUTPUT_BEGIN}`),
          content(text),
          template(OUTPUT_END),
        ]),
        template(OUTPUTS_END),
      ];
    case "v3.1":
      return texts.flatMap((text) => [template(OUTPUT_BEGIN), content(text), template(OUTPUT_END)]);
    case "v3.2":
      return [
        template("\n\n<function_results>"),
        ...texts.flatMap((text) => [template("\n<result>"), content(text), template("</result>")]),
        template("\n</function_results>"),
      ];
  }
}

function schemaOf({ name, description, parameters }: Tool): string {
  return JSON.stringify({ name, description, parameters: JSON.parse(parameters) as unknown });
}

/** The models' own instructions: other words would be other behaviour. */
const V31_RULES = `
IMPORTANT: ALWAYS adhere to this exact format for tool use:
${CALLS_BEGIN}${CALL_BEGIN}tool_call_name${SEP}tool_call_arguments${CALL_END}{additional_tool_calls}${CALLS_END}

Where:
- \`tool_call_name\` must be an exact match to one of the available tools
- \`tool_call_arguments\` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
`;

const V32_INTRODUCTION = `## Tools
You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<${DSML}function_calls>" block like the following as part of your reply to the user:
<${DSML}function_calls>
<${DSML}invoke name="$FUNCTION_NAME">
<${DSML}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</${DSML}parameter>
...
</${DSML}invoke>
<${DSML}invoke name="$FUNCTION_NAME2">
...
</${DSML}invoke>
</${DSML}function_calls>
String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).
If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:
<${DSML}function_calls>
...
</${DSML}function_calls>
<function_results>
...
</function_results>
<think>...thinking about results</think>
Here are the functions available in JSONSchema format:
<functions>
`;
