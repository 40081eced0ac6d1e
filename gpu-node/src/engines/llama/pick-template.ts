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
  probeTools,
} from "./template.ts";
import { DSML, type ToolFormat, toolMarks } from "./tool-template.ts";
import type { Vocabulary } from "./vocabulary.ts";

export type Picked = {
  readonly template: Template;
  /** How the model calls tools; undefined where it does not. */
  readonly tools: ToolFormat | undefined;
};

export function pickTemplate(vocabulary: Vocabulary): Picked {
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
  const deepseek = (marks: DeepseekMarks, wanted: ToolFormat | undefined): Picked => {
    const tools = wanted !== undefined && toolMarks(wanted, spellings) === undefined ? undefined : wanted;
    return { template: deepseekTemplate(marks, tools), tools };
  };
  const plain: Picked = { template: plainTemplate(spellings, bosText), tools: undefined };
  if (source === undefined)
    return knowsDeepseek ? deepseek(v31, spellings.has(DSML) ? "v3.2" : "v3.1") : plain;
  try {
    const render = jinjaRender(source, bosText, eosText);
    const marks = knowsDeepseek ? probeDeepseek(render) : undefined;
    return marks === undefined
      ? { template: jinjaTemplate(render), tools: undefined }
      : deepseek(marks, probeTools(render));
  } catch {
    return knowsDeepseek ? deepseek(v31, undefined) : plain;
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
