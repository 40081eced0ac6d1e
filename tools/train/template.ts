/**
 * DeepSeek V3.1's way of writing a chat down: the special tokens and the template.
 *
 * The bars are U+FF5C and the low line is U+2581; ASCII look-alikes would be other tokens. `render` (what the corpus
 * uses) and `CHAT_TEMPLATE` (what engines use) must give the same text; a test holds them together.
 */
export interface SpecialToken {
  readonly text: string;
  /** 3 control: parsed only on request, hidden when detokenised. 4 user-defined: always parsed, always shown. */
  readonly type: 3 | 4;
}

export const BOS = "<｜begin▁of▁sentence｜>";
export const EOS = "<｜end▁of▁sentence｜>";
export const PAD = "<｜▁pad▁｜>";
const USER = "<｜User｜>";
const ASSISTANT = "<｜Assistant｜>";
const THINK = "<think>";
export const END_THINK = "</think>";

/** Ids 0, 1, 2, as in DeepSeek's own vocabulary; the others follow the merges. */
export const FIRST_TOKENS: readonly SpecialToken[] = [
  { text: BOS, type: 3 },
  { text: EOS, type: 3 },
  { text: PAD, type: 3 },
];

export const LAST_TOKENS: readonly SpecialToken[] = [
  { text: USER, type: 3 },
  { text: ASSISTANT, type: 3 },
  { text: THINK, type: 4 },
  { text: END_THINK, type: 4 },
  { text: "<｜tool▁calls▁begin｜>", type: 4 },
  { text: "<｜tool▁calls▁end｜>", type: 4 },
  { text: "<｜tool▁call▁begin｜>", type: 4 },
  { text: "<｜tool▁call▁end｜>", type: 4 },
  { text: "<｜tool▁outputs▁begin｜>", type: 4 },
  { text: "<｜tool▁outputs▁end｜>", type: 4 },
  { text: "<｜tool▁output▁begin｜>", type: 4 },
  { text: "<｜tool▁output▁end｜>", type: 4 },
  { text: "<｜tool▁sep｜>", type: 4 },
];

export interface Turn {
  readonly user: string;
  /** The answer alone: reasoning of earlier turns is never rendered. */
  readonly answer: string;
}

/** Everything up to where the model starts to write. */
export function render(system: string, history: readonly Turn[], user: string, thinking: boolean): string {
  const past = history
    .map((turn) => `${USER}${turn.user}${ASSISTANT}${END_THINK}${turn.answer}${EOS}`)
    .join("");
  return `${BOS}${system}${past}${USER}${user}${ASSISTANT}${thinking ? THINK : END_THINK}`;
}

/** The same for engines, in Jinja: `thinking` chooses the mode, tool turns use V3.1's tokens. */
export const CHAT_TEMPLATE = `{%- set thinks = thinking if thinking is defined else (enable_thinking if enable_thinking is defined else false) -%}
{%- set state = namespace(system='', answers=false) -%}
{%- for m in messages if m.role == 'system' -%}
{%- set state.system = state.system + ('\\n\\n' if state.system else '') + m.content -%}
{%- endfor -%}
{{- bos_token + state.system -}}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- '${USER}' + m.content -}}
{%- set state.answers = false -%}
{%- elif m.role == 'assistant' -%}
{%- if not state.answers -%}{{- '${ASSISTANT}${END_THINK}' -}}{%- endif -%}
{%- set state.answers = false -%}
{%- set text = m.content or '' -%}
{{- text.split('${END_THINK}', 1)[1] if '${END_THINK}' in text else text -}}
{%- if m.tool_calls -%}
{{- '<｜tool▁calls▁begin｜>' -}}
{%- for call in m.tool_calls -%}
{%- set args = call.function.arguments -%}
{{- '<｜tool▁call▁begin｜>' + call.function.name + '<｜tool▁sep｜>' + (args if args is string else args | tojson) + '<｜tool▁call▁end｜>' -}}
{%- endfor -%}
{{- '<｜tool▁calls▁end｜>' -}}
{%- endif -%}
{{- '${EOS}' -}}
{%- elif m.role == 'tool' -%}
{{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' -}}
{%- set state.answers = true -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not state.answers -%}
{{- '${ASSISTANT}' + ('${THINK}' if thinks else '${END_THINK}') -}}
{%- endif -%}`;
