/**
 * Which template a model gets: the DeepSeek form where its own Jinja template turns out to write it, Jinja for every
 * other, and the plainest form for a file without any. A DeepSeek template that our Jinja renderer cannot run (they
 * use few but odd features) still gets the V3.1 form, known by its tokens.
 */
import { Template as Jinja } from "@huggingface/jinja";
import {
  type DeepseekMarks,
  type Render,
  type Template,
  deepseekTemplate,
  jinjaTemplate,
  plainTemplate,
  probeDeepseek,
} from "./template.ts";
import type { Vocabulary } from "./vocabulary.ts";

export function pickTemplate(vocabulary: Vocabulary): Template {
  const { spellings, bosText, eosText, think } = vocabulary;
  const source = vocabulary.template;
  const knowsDeepseek = spellings.has("<\uff5cUser\uff5c>") && spellings.has("<\uff5cAssistant\uff5c>");
  const v31: DeepseekMarks = {
    begin: bosText,
    end: eosText,
    answerBefore: think === undefined ? "" : "</think>",
    answerThinking: think === undefined ? "" : "<think>",
    answerPlain: think === undefined ? "" : "</think>",
  };
  if (source === undefined) return knowsDeepseek ? deepseekTemplate(v31) : plainTemplate(spellings, bosText);
  try {
    const render = jinjaRender(source, bosText, eosText);
    const marks = knowsDeepseek ? probeDeepseek(render) : undefined;
    return marks === undefined ? jinjaTemplate(render) : deepseekTemplate(marks);
  } catch {
    return knowsDeepseek ? deepseekTemplate(v31) : plainTemplate(spellings, bosText);
  }
}

export function jinjaRender(source: string, bosText: string, eosText: string): Render {
  const jinja = new Jinja(source);
  return (messages, thinking) =>
    jinja.render({
      messages: messages.map((message) => ({ ...message })),
      add_generation_prompt: true,
      bos_token: bosText,
      eos_token: eosText,
      // V3.1 asks for `thinking`, Qwen and most later ones for `enable_thinking`.
      thinking,
      enable_thinking: thinking,
      tools: null,
    });
}
