/**
 * The page to try the API with, and nothing the API's own users could not do: it lists models, sends one prompt, shows
 * the answer as it comes, and what it took. The key is kept in this tab's sessionStorage and sent nowhere else.
 */
import { eventsOf } from "/events.js";

const KEY_NAME = "sluice-key";
/** After the last keystroke in the key field, before the models are asked for. */
const SETTLE_MS = 300;
/** An answer whose tokens all came within this time came in one piece: how fast it was made cannot be told from here. */
const MEASURABLE_MS = 20;

/** @param {string} id */
const $ = (id) => document.getElementById(id);

/** @type {AbortController | undefined} */
let running;
/** @type {Map<string, {input: number, cached_input: number, output: number}>} USD per million tokens, by model */
const pricing = new Map();

$("base").textContent = `${location.origin}/v1`;
$("key").value = sessionStorage.getItem(KEY_NAME) ?? "";

function authorization() {
  return { authorization: `Bearer ${$("key").value.trim()}` };
}

function showError(message) {
  $("error").textContent = message ?? "";
  $("error").hidden = message === undefined;
}

async function messageOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text.slice(0, 300) || `The server answered ${response.status}.`;
  }
}

async function listModels() {
  const select = $("model");
  sessionStorage.setItem(KEY_NAME, $("key").value.trim());
  if ($("key").value.trim() === "") return;
  try {
    const response = await fetch("/v1/models", { headers: authorization() });
    if (!response.ok) throw new Error(await messageOf(response));
    const { data } = await response.json();
    const before = select.value;
    pricing.clear();
    select.replaceChildren(
      ...data.map((model) => {
        if (model.pricing) pricing.set(model.id, model.pricing);
        return new Option(model.id, model.id);
      }),
    );
    if (data.some((model) => model.id === before)) select.value = before;
    select.disabled = data.length === 0;
    showError(undefined);
  } catch (error) {
    select.replaceChildren(new Option("needs a key", ""));
    select.disabled = true;
    showError(error.message);
  }
}

function milliseconds(ms) {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}

function costOf(model, usage) {
  const price = pricing.get(model);
  if (price === undefined) return "–";
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const micro =
    (usage.prompt_tokens - cached) * price.input +
    cached * price.cached_input +
    usage.completion_tokens * price.output;
  return `$${(micro / 1_000_000).toFixed(micro < 1_000 ? 7 : 4)}`;
}

/** One answer on its way: what has come, and when. */
function newTally() {
  return {
    sentAt: performance.now(),
    firstAt: undefined,
    usage: undefined,
    finished: undefined,
    failed: undefined,
  };
}

function take(chunk, tally) {
  if (chunk.error) throw new Error(chunk.error.message);
  if (chunk.usage) tally.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (choice?.finish_reason) tally.finished = choice.finish_reason;
  const thought = choice?.delta?.reasoning_content;
  const said = choice?.delta?.content;
  if (!thought && !said) return;
  tally.firstAt ??= performance.now();
  if (thought) {
    $("thinking").hidden = false;
    $("thoughts").append(thought);
  }
  if (said) $("text").append(said);
}

function showFacts(model, tally) {
  const now = performance.now();
  $("total").textContent = milliseconds(now - tally.sentAt);
  if (tally.firstAt !== undefined) $("first").textContent = milliseconds(tally.firstAt - tally.sentAt);
  const { usage } = tally;
  if (usage === undefined) return;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const thought = usage.completion_tokens_details?.reasoning_tokens ?? 0;
  $("in").textContent =
    cached > 0 ? `${usage.prompt_tokens} (${cached} cached)` : String(usage.prompt_tokens);
  $("out").textContent =
    thought > 0 ? `${usage.completion_tokens} (${thought} thinking)` : String(usage.completion_tokens);
  const tookMs = now - (tally.firstAt ?? now);
  if (tookMs >= MEASURABLE_MS)
    $("speed").textContent = `${((usage.completion_tokens / tookMs) * 1_000).toFixed(0)} tokens/s`;
  $("cost").textContent = costOf(model, usage);
}

function clearAnswer() {
  showError(undefined);
  $("answer").hidden = false;
  $("thinking").hidden = true;
  $("thinking").open = true;
  $("thoughts").replaceChildren();
  $("text").replaceChildren();
  for (const id of ["first", "total", "in", "out", "speed", "cost", "node"]) $(id).textContent = "–";
}

function setBusy(busy) {
  $("answer").classList.toggle("busy", busy);
  $("send").disabled = busy;
  $("stop").hidden = !busy;
}

async function ask() {
  const model = $("model").value;
  const tally = newTally();
  running = new AbortController();
  clearAnswer();
  setBusy(true);
  const clock = setInterval(() => showFacts(model, tally), 100);
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { ...authorization(), "content-type": "application/json" },
      body: JSON.stringify({
        model,
        stream: true,
        stream_options: { include_usage: true },
        // A little chance, so that asking again asks the model again and not the answer cache.
        temperature: 0.2,
        messages: [{ role: "user", content: $("prompt").value }],
      }),
      signal: running.signal,
    });
    if (!response.ok) throw new Error(await messageOf(response));
    const node = response.headers.get("x-sluice-node");
    const region = response.headers.get("x-sluice-region");
    if (node !== null) $("node").textContent = region === null ? node : `${node}, ${region}`;
    for await (const data of eventsOf(response.body)) {
      if (data === "[DONE]") break;
      take(JSON.parse(data), tally);
    }
    if (tally.finished === "length") showError("The answer stopped at its length limit.");
  } catch (error) {
    if (error.name === "AbortError") showError("Stopped. What had come by then is billed.");
    else {
      showError(error.message);
      // An answer that never began has nothing to show.
      if (tally.firstAt === undefined) $("answer").hidden = true;
    }
  } finally {
    clearInterval(clock);
    showFacts(model, tally);
    setBusy(false);
    running = undefined;
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  void (async () => {
    // A key that was typed a moment ago may not have been tried yet.
    if ($("model").disabled) await listModels();
    if (running === undefined && !$("model").disabled) await ask();
  })();
});
$("stop").addEventListener("click", () => running?.abort());
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit();
});

let settling;
$("key").addEventListener("input", () => {
  clearTimeout(settling);
  settling = setTimeout(() => void listModels(), SETTLE_MS);
});
void listModels();
