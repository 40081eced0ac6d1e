/**
 * What a call needs of an engine beyond plain answers, read off the client's body: each need with the field that asks for
 * it. Nodes say what they can do in their beats, so a call goes only where it can be done, and where it can be done nowhere
 * the client is told which field it is. What is not of its type decides nothing here: the node that reads it says what is
 * wrong. Pure.
 */
export type Need = {
  /** As nodes name it: `ServedModel.features`. */
  readonly feature: string;
  readonly param: string;
  /** Nearly every engine can do it, and one that cannot says so (`ServedModel.lacks`). */
  readonly common?: true;
};

type Fields = { readonly [field: string]: unknown };

/** `body`: as `JSON.parse` gave it. */
export function needsOf(body: unknown): readonly Need[] {
  const asked = fieldsOf(body);
  const needs: Need[] = [];
  const common = (wanted: boolean, feature: string, param: string): void => {
    if (wanted) needs.push({ feature, param, common: true });
  };
  const need = (wanted: boolean, feature: string, param: string): void => {
    if (wanted) needs.push({ feature, param });
  };
  const choice = asked["tool_choice"];
  const offers = isFilled(asked["tools"]) && choice !== "none";
  need(offers, "tools", "tools");
  need(offers && (choice === "required" || isFilled(choice)), "json", "tool_choice");
  const messages: readonly unknown[] = Array.isArray(asked["messages"]) ? asked["messages"] : [];
  if (!offers) {
    const spoken = messages.findIndex(speaksOfTools);
    need(spoken >= 0, "tools", `messages[${spoken}]`);
  }
  need(fieldsOf(messages.at(-1))["prefix"] === true, "prefix", `messages[${messages.length - 1}].prefix`);
  const format = fieldsOf(asked["response_format"])["type"];
  need(format === "json_object" || format === "json_schema", "json", "response_format");
  const logprobs = asked["logprobs"];
  need(logprobs === true || typeof logprobs === "number", "logprobs", "logprobs");
  need(isFilled(asked["logit_bias"]), "logit_bias", "logit_bias");
  for (const penalty of ["frequency_penalty", "presence_penalty"])
    need(typeof asked[penalty] === "number" && asked[penalty] !== 0, "penalties", penalty);
  need(typeof asked["n"] === "number" && asked["n"] > 1, "n", "n");
  const budget = fieldsOf(asked["thinking"])["budget_tokens"];
  need(typeof budget === "number", "thinking_budget", "thinking.budget_tokens");
  for (const choice of ["top_k", "min_p"])
    common(typeof asked[choice] === "number" && asked[choice] > 0, choice, choice);
  const thinks = thinksOf(asked);
  common(thinks?.on === true, "thinking_on", thinks?.param ?? "");
  common(thinks?.on === false, "thinking_off", thinks?.param ?? "");
  return needs;
}

/** The needs as routing asks for them: what an engine has to say it can do, and what it must not say it lacks. */
export function wishedOf(needs: readonly Need[]): {
  readonly features: readonly string[];
  readonly common: readonly string[];
} {
  const named = (isCommon: boolean): readonly string[] =>
    needs.flatMap(({ feature, common }) => ((common === true) === isCommon ? [feature] : []));
  return { features: named(false), common: named(true) };
}

/** Whether a call says outright that it thinks or does not, and by which field. */
function thinksOf(asked: Fields): { readonly on: boolean; readonly param: string } | undefined {
  const { type } = fieldsOf(asked["thinking"]);
  if (typeof type === "string") return { on: type === "enabled", param: "thinking" };
  const effort = asked["reasoning_effort"];
  return typeof effort === "string" ? { on: effort !== "none", param: "reasoning_effort" } : undefined;
}

function speaksOfTools(message: unknown): boolean {
  const { role, tool_calls: calls } = fieldsOf(message);
  return role === "tool" || isFilled(calls);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/** An object or a list with something in it. */
function isFilled(value: unknown): boolean {
  return Object.keys(fieldsOf(value)).length > 0;
}
