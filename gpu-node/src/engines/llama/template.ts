/**
 * From a chat to segments. DeepSeek's templates (V3, R1, V3.1) are written here; which of them a model wants is read
 * off its own Jinja template by rendering one probe with placeholders, so a fine-tune with another thinking prefix is
 * followed too. Any other template is rendered by Jinja for each call, again with placeholders in place of what people
 * wrote: what they wrote never passes through the template, and cannot forge a turn.
 * Pure, but for the renderer it is given.
 */
import { EngineFault, type ChatMessage, type ChatPrompt } from "../engine.ts";
import { type Segment, content, template } from "./segments.ts";
import { CALL_BEGIN, DSML, SEP, type ToolFormat, calls, offer, results } from "./tool-template.ts";

/** A message as Jinja templates want it. */
export type JinjaMessage = {
  readonly role: ChatMessage["role"];
  readonly content: string | null;
  readonly tool_calls?: readonly {
    readonly type: "function";
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
};
export type Render = (messages: readonly JinjaMessage[], thinking: boolean) => string;
export type Template = (prompt: ChatPrompt) => readonly Segment[];

/** The marks of a DeepSeek template; `answer*` follow the assistant mark. */
export type DeepseekMarks = {
  readonly begin: string;
  readonly end: string;
  /** Before the text of an earlier answer. */
  readonly answerBefore: string;
  readonly answerThinking: string;
  readonly answerPlain: string;
};

const USER = "<\uff5cUser\uff5c>";
const ASSISTANT = "<\uff5cAssistant\uff5c>";
const THINK_CLOSE = "</think>";

export function deepseekTemplate(marks: DeepseekMarks, tools: ToolFormat | undefined): Template {
  return ({ messages, thinking, tools: offered = [], prefix }) => {
    const system = messages.filter(({ role }) => role === "system").map((message) => message.content);
    const segments: Segment[] = [template(marks.begin), content(system.join("\n\n"))];
    if (offered.length > 0) segments.push(...offer(must(tools), offered));
    const turns = messages.filter(({ role }) => role !== "system");
    const lastUser = turns.findLastIndex(({ role }) => role === "user");
    for (const [at, message] of turns.entries()) {
      const before = turns[at - 1]?.role;
      if (message.role === "user") segments.push(template(USER), content(message.content));
      else if (message.role === "assistant") {
        const goesOn = thinking && at > lastUser;
        segments.push(...past(marks, tools, { message, before, goesOn }));
      } else if (before !== "tool") {
        const end = turns.findIndex(({ role }, i) => i > at && role !== "tool");
        const texts = turns.slice(at, end < 0 ? undefined : end).map((result) => result.content);
        segments.push(...results(must(tools), texts));
      }
    }
    const last = turns.at(-1)?.role;
    segments.push(...generation(marks, tools, { thinking, afterTool: last === "tool", prefix }));
    return segments;
  };
}

type Past = {
  readonly message: ChatMessage;
  readonly before: ChatMessage["role"] | undefined;
  /** Of the turn that is being answered, by a model that thinks. */
  readonly goesOn: boolean;
};

/** An earlier answer. V3.2 is shown what it thought in this turn; no model what it thought in another. */
function past(
  marks: DeepseekMarks,
  tools: ToolFormat | undefined,
  { message, before, goesOn }: Past,
): readonly Segment[] {
  const thought = tools === "v3.2" && goesOn;
  const opening = thought ? marks.answerThinking : marks.answerBefore;
  const lead = before !== "tool" ? ASSISTANT + opening : tools === "v3.2" ? `\n\n${opening}` : "";
  return [
    template(lead),
    ...(thought ? [content(message.reasoning ?? ""), template(THINK_CLOSE)] : []),
    content(withoutReasoning(message.content)),
    ...(message.toolCalls === undefined ? [] : calls(must(tools), message.toolCalls)),
    template(marks.end),
  ];
}

/** Where the model goes on. V3 and V3.1 go on straight behind a tool's result, and do not think there. */
function generation(
  marks: DeepseekMarks,
  tools: ToolFormat | undefined,
  ask: {
    readonly thinking: boolean;
    readonly afterTool: boolean;
    readonly prefix: ChatPrompt["prefix"];
  },
): readonly Segment[] {
  const { thinking, afterTool, prefix } = ask;
  const given = prefix?.content ?? "";
  if (afterTool && tools !== "v3.2") return [content(given)];
  const lead = afterTool ? "\n\n" : ASSISTANT;
  if (!thinking) return [template(lead + marks.answerPlain), content(given)];
  const seed = content(prefix?.reasoning ?? "");
  const opened = [template(lead + marks.answerThinking), seed];
  // An answer's given text is behind its thinking.
  return given === "" ? opened : [...opened, template(THINK_CLOSE), content(given)];
}

function must(tools: ToolFormat | undefined): ToolFormat {
  if (tools !== undefined) return tools;
  throw new EngineFault("unsupported", "The model's chat template knows no tools.");
}

/** How the template writes that a tool is called; undefined where it does not, or in a way nobody here reads. */
export function probeTools(render: Render): ToolFormat | undefined {
  const name = placeholder(9);
  let rendered: string;
  try {
    rendered = render(
      [
        { role: "user", content: placeholder(0) },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ type: "function", function: { name, arguments: "{}" } }],
        },
        { role: "tool", content: placeholder(1) },
      ],
      false,
    );
  } catch {
    return undefined;
  }
  if (rendered.includes(`${CALL_BEGIN}function${SEP}${name}`)) return "v3";
  if (rendered.includes(`${CALL_BEGIN}${name}${SEP}`)) return "v3.1";
  return rendered.includes(`<${DSML}invoke name="${name}">`) ? "v3.2" : undefined;
}

/** An earlier answer as the next prompt shows it: without its thinking. */
export function withoutReasoning(text: string): string {
  const at = text.lastIndexOf(THINK_CLOSE);
  return at < 0 ? text : text.slice(at + THINK_CLOSE.length);
}

const PROBE: readonly (ChatMessage & JinjaMessage)[] = [
  { role: "system", content: placeholder(0) },
  { role: "user", content: placeholder(1) },
  { role: "assistant", content: placeholder(2) },
  { role: "user", content: placeholder(3) },
];

/** The marks of a template that writes turns as DeepSeek's do; undefined for any other. */
export function probeDeepseek(render: Render): DeepseekMarks | undefined {
  const thinking = literals(render(PROBE, true));
  const plain = literals(render(PROBE, false));
  const [begin, afterSystem, answer, next, ending] = thinking;
  if (begin === undefined || next === undefined || answer === undefined || ending === undefined)
    return undefined;
  const plainEnding = plain[4];
  if (
    thinking.length !== PROBE.length + 1 ||
    plain.length !== PROBE.length + 1 ||
    plainEnding === undefined
  ) {
    return undefined;
  }
  const fits =
    afterSystem === USER &&
    next.endsWith(USER) &&
    [answer, ending, plainEnding].every((literal) => literal.startsWith(ASSISTANT));
  if (!fits) return undefined;
  const afterAssistant = (literal: string): string => literal.slice(ASSISTANT.length);
  return {
    begin,
    end: next.slice(0, -USER.length),
    answerBefore: afterAssistant(answer),
    answerThinking: afterAssistant(ending),
    answerPlain: afterAssistant(plainEnding),
  };
}

/** Any other template. Those that know no system role, or want turns to alternate, get the chat in that form. */
export function jinjaTemplate(render: Render): Template {
  return ({ messages, thinking, prefix }) => {
    refuseTools(messages);
    const texts = messages.map(({ role, content: text }) =>
      role === "assistant" ? withoutReasoning(text) : text,
    );
    const shown = messages.map(({ role }, i) => ({ role, content: placeholder(i) }));
    const rendered = rendering(render, shown, thinking);
    const segments: Segment[] = [];
    for (const [i, part] of rendered.split(PLACEHOLDER).entries()) {
      if (i % 2 === 0) segments.push(template(part));
      else segments.push(content(texts[Number(part)] ?? ""));
    }
    return [...segments, ...given(prefix)];
  };
}

function refuseTools(messages: readonly ChatMessage[]): void {
  if (messages.some(({ role, toolCalls }) => role === "tool" || toolCalls !== undefined)) must(undefined);
}

function given(prefix: ChatPrompt["prefix"]): readonly Segment[] {
  if (prefix === undefined) return [];
  if (prefix.reasoning !== "")
    throw new EngineFault("unsupported", "The model's chat template cannot begin inside thinking.");
  return [content(prefix.content)];
}

function rendering(render: Render, messages: readonly Shown[], thinking: boolean): string {
  let refusal: unknown;
  for (const form of [messages, alternating(messages)]) {
    try {
      const rendered = render(form, thinking);
      if (messages.every((message) => rendered.includes(message.content))) return rendered;
      refusal = new Error("it leaves out a message");
    } catch (error) {
      refusal = error;
    }
  }
  const reason = refusal instanceof Error ? refusal.message : String(refusal);
  throw new EngineFault("unsupported", `The model's chat template refuses this conversation: ${reason}`);
}

type Shown = { readonly role: ChatMessage["role"]; readonly content: string };

/** System texts move into the first user turn, and neighbours of one role become one message. */
function alternating(messages: readonly Shown[]): readonly Shown[] {
  const turns: Shown[] = [];
  for (const message of messages) {
    const role = message.role === "system" ? "user" : message.role;
    const last = turns.at(-1);
    if (last?.role === role)
      turns[turns.length - 1] = { role, content: `${last.content}\n\n${message.content}` };
    else turns.push({ role, content: message.content });
  }
  return turns;
}

/** For a model without any template: the plainest form that its vocabulary knows. */
export function plainTemplate(spellings: ReadonlyMap<string, number>, begin: string): Template {
  const chatml = spellings.has("<|im_start|>") && spellings.has("<|im_end|>");
  return ({ messages, prefix }) => {
    refuseTools(messages);
    const segments: Segment[] = [template(begin)];
    for (const { role, content: text } of messages) {
      segments.push(
        template(chatml ? `<|im_start|>${role}\n` : `${role}: `),
        content(role === "assistant" ? withoutReasoning(text) : text),
        template(chatml ? "<|im_end|>\n" : "\n\n"),
      );
    }
    segments.push(template(chatml ? "<|im_start|>assistant\n" : "assistant:"), ...given(prefix));
    return segments;
  };
}

/** Private-use characters: nothing a template writes itself. */
function placeholder(index: number): string {
  return `\u{f0000}${index}\u{f0001}`;
}

const PLACEHOLDER = /\u{f0000}(\d+)\u{f0001}/u;

/** What stands around the placeholders of a rendered probe, if they are all there once and in order. */
function literals(rendered: string): readonly string[] {
  const parts = rendered.split(PLACEHOLDER);
  const inOrder = parts.filter((_, i) => i % 2 === 1).every((part, i) => part === String(i));
  return inOrder ? parts.filter((_, i) => i % 2 === 0) : [];
}
