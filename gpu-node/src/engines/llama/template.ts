/**
 * From a chat to segments. DeepSeek's templates (V3, R1, V3.1) are written here; which of them a model wants is read
 * off its own Jinja template by rendering one probe with placeholders, so a fine-tune with another thinking prefix is
 * followed too. Any other template is rendered by Jinja for each call, again with placeholders in place of what people
 * wrote: what they wrote never passes through the template, and cannot forge a turn.
 * Pure, but for the renderer it is given.
 */
import { EngineFault, type ChatMessage, type ChatPrompt } from "../engine.ts";
import { type Segment, content, template } from "./segments.ts";

export type Render = (messages: readonly ChatMessage[], thinking: boolean) => string;
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

export function deepseekTemplate(marks: DeepseekMarks): Template {
  return ({ messages, thinking }) => {
    const system = messages.filter((message) => message.role === "system").map((message) => message.content);
    const segments: Segment[] = [template(marks.begin), content(system.join("\n\n"))];
    for (const message of messages) {
      if (message.role === "user") segments.push(template(USER), content(message.content));
      if (message.role === "assistant") {
        segments.push(
          template(ASSISTANT + marks.answerBefore),
          content(withoutReasoning(message.content)),
          template(marks.end),
        );
      }
    }
    segments.push(template(ASSISTANT + (thinking ? marks.answerThinking : marks.answerPlain)));
    return segments;
  };
}

/** An earlier answer as the next prompt shows it: without its thinking. */
export function withoutReasoning(text: string): string {
  const at = text.lastIndexOf(THINK_CLOSE);
  return at < 0 ? text : text.slice(at + THINK_CLOSE.length);
}

const PROBE: readonly ChatMessage[] = [
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
  return ({ messages, thinking }) => {
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
    return segments;
  };
}

function rendering(render: Render, messages: readonly ChatMessage[], thinking: boolean): string {
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

/** System texts move into the first user turn, and neighbours of one role become one message. */
function alternating(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const turns: ChatMessage[] = [];
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
  return ({ messages }) => {
    const segments: Segment[] = [template(begin)];
    for (const { role, content: text } of messages) {
      segments.push(
        template(chatml ? `<|im_start|>${role}\n` : `${role}: `),
        content(role === "assistant" ? withoutReasoning(text) : text),
        template(chatml ? "<|im_end|>\n" : "\n\n"),
      );
    }
    segments.push(template(chatml ? "<|im_start|>assistant\n" : "assistant:"));
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
