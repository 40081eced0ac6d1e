/**
 * A client's chat body, as OpenAI and DeepSeek define it, parsed once: exactly the fields this node honours, by name.
 * What it knows and cannot do is refused by name, never ignored; what it does not know is ignored and goes no
 * further (extras of an engine are no client's business). Pure.
 */
import { z } from "zod";
import { formFields, readForm } from "./form.ts";
import type { Wish } from "./wish.ts";
import { Message, readMessages } from "./messages.ts";
import { invalidBody, invalidField, parseJson, unsupported, type Refused } from "./refuse.ts";
import { samplingFields, samplingOf, stopsOf, tokenCount } from "./sampling.ts";
import { thinkingFields, thinkingOf } from "./thinking.ts";

const MESSAGES_MAX = 4_096;
const TOP_LOGPROBS_MAX = 20;

const ChatBody = z.object({
  model: z.string().min(1).max(128),
  messages: z.array(Message).min(1).max(MESSAGES_MAX),
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  modalities: z.array(z.string()).nullish(),
  ...samplingFields,
  ...formFields,
  ...thinkingFields,
});
type ChatBody = z.infer<typeof ChatBody>;

export type Parsed = { readonly ok: true; readonly wish: Wish } | Refused;

export function parseChat(bytes: Uint8Array): Parsed {
  const json = parseJson(bytes);
  if (!json.ok) return json;
  const parsed = ChatBody.safeParse(json.value);
  if (!parsed.success) return invalidBody(parsed.error);
  const body = parsed.data;
  if ((body.modalities ?? []).some((modality) => modality !== "text"))
    return unsupported("modalities", "anything but text");
  const sampling = samplingOf(body);
  if (!sampling.ok) return sampling;
  const form = readForm(body);
  if (!form.ok) return form;
  const read = readMessages(body.messages);
  if (!read.ok) return read;
  const logprobs = logprobsOf(body);
  if (typeof logprobs === "object") return logprobs;
  const { messages, prefix, toolsAt } = read;
  if (prefix !== undefined && (form.form.format.kind !== "text" || form.form.call === "must"))
    return invalidField("messages", "an answer that is given in part cannot be bound to a format");
  return {
    ok: true,
    wish: {
      model: body.model,
      stream: body.stream ?? false,
      includeUsage: body.stream_options?.include_usage ?? false,
      input: { kind: "chat", messages, prefix, tools: form.tools },
      toolsAt: form.tools.length > 0 ? "tools" : toolsAt,
      thinking: thinkingOf(body),
      form: form.form,
      outputAsked: body.max_completion_tokens ?? body.max_tokens ?? undefined,
      sampling: sampling.sampling,
      stops: stopsOf(body.stop),
      logprobs,
      choices: body.n ?? 1,
    },
  };
}

function logprobsOf(body: ChatBody): number | undefined | Refused {
  const top = body.top_logprobs ?? undefined;
  if (body.logprobs === true) return top ?? 0;
  return top === undefined || top === 0
    ? undefined
    : invalidField("top_logprobs", "'logprobs' has to be true with it");
}
