/**
 * The `script` engine: no weights, no dice, no second process; it does what the prompt tells it (directive.ts), to the
 * millisecond, and fails when told. For tests and for measuring everything around an engine. Its slots reuse prefixes
 * by the llama engine's rule, so `cached` behaves the same. With `positionsFile` every position it emits is appended
 * before it is handed over, as {"engine","task","position","id"}: what really was generated, for later audits. A task is
 * recorded by its name, or by a number where it has none.
 */
import { openSync, writeSync } from "node:fs";
import {
  type ChatPrompt,
  type Engine,
  type EngineEvent,
  EngineFault,
  type EngineInfo,
  type Task,
  type Token,
} from "../engine.ts";
import { chooseSlot } from "../slots.ts";
import { type Directive, answerOf, readDirective, strikesAt } from "./directive.ts";
import { MARK, VOCABULARY_TOKENS, decodeToken, encodeChat, encodeText, readPrompt } from "./tokenizer.ts";

export type ScriptEngineOptions = {
  /** Default "script". */
  readonly model?: string;
  /** Engines with equal weights continue each other. */
  readonly weights?: string;
  /** Who this is, for the directive's `on`. */
  readonly name?: string;
  readonly slots?: number;
  readonly contextTokens?: number;
  /** What holds where a prompt's directive is silent; also decides from the text, for tests that cannot write prompts. */
  readonly script?: Directive | ((text: string) => Directive | undefined);
  /** Not ready for so long after a told death. */
  readonly restartMs?: number;
  /** Makes embeddings too: numbers made of the input's tokens, so many and so slowly. */
  readonly embedding?: { readonly dimensions: number; readonly everyMs?: number };
  readonly positionsFile?: string;
  /** Obeys `killAt`. */
  readonly mayKillProcess?: boolean;
};

const DEFAULTS = { slots: 8, contextTokens: 65_536, restartMs: 200 } as const;
const FEATURES = [
  "resume",
  "seed",
  "thinking",
  "tools",
  "logprobs",
  "n",
  "prefix",
  "completions",
  "tokenize",
] as const;
const PREFILL_CHUNK_TOKENS = 128;
/** Tokens without a pause between them are emitted so many at a time, then the event loop has a turn. */
const BURST_TOKENS = 16;

type Slot = { busy: boolean; tag: string; tokens: readonly number[]; usedAt: number };

export function createScriptEngine(options: ScriptEngineOptions = {}): Engine {
  return new ScriptEngine(options);
}

class ScriptEngine implements Engine {
  readonly info: EngineInfo;
  ready = true;
  readonly #options: ScriptEngineOptions;
  readonly #slots: Slot[];
  readonly #positions: number | undefined;
  #life = new AbortController();
  #closed = false;
  #clock = 0;
  #lastTask = 0;

  constructor(options: ScriptEngineOptions) {
    this.#options = options;
    const slots = options.slots ?? DEFAULTS.slots;
    this.#slots = Array.from({ length: slots }, () => ({ busy: false, tag: "", tokens: [], usedAt: 0 }));
    this.#positions = options.positionsFile === undefined ? undefined : openSync(options.positionsFile, "a");
    this.info = {
      model: options.model ?? "script",
      weights: options.weights ?? "script-1",
      contextTokens: options.contextTokens ?? DEFAULTS.contextTokens,
      slots,
      backend: "script",
      vocabularyTokens: VOCABULARY_TOKENS,
      features: [...FEATURES, ...(options.embedding === undefined ? [] : ["embeddings"])],
      ...(options.embedding === undefined ? {} : { embedding: options.embedding }),
      endTokens: [MARK.end],
      think: { open: MARK.thinkOpen, close: MARK.thinkClose },
      tools: { format: "v3.1", ...MARK },
    };
  }

  async encodeChat(prompt: ChatPrompt): Promise<readonly number[]> {
    this.#assertReady();
    return encodeChat(prompt);
  }

  async encodeText(text: string): Promise<readonly number[]> {
    this.#assertReady();
    return [MARK.begin, ...encodeText(text)];
  }

  async decode(tokens: readonly number[]): Promise<readonly Token[]> {
    return tokens.map(decodeToken);
  }

  async *generate(task: Task, callerSignal: AbortSignal): AsyncGenerator<EngineEvent, void, void> {
    callerSignal.throwIfAborted();
    this.#assertReady();
    const { text, thinking } = readPrompt(task.prompt);
    const directive = { ...this.#scriptFor(text), ...readDirective(text) };
    if (task.prompt.length === 0 || task.prompt.length >= this.info.contextTokens) {
      throw new EngineFault(
        "unsupported",
        `The prompt has ${task.prompt.length} tokens; the context holds ${this.info.contextTokens}.`,
      );
    }
    const context = [...task.prompt, ...task.delivered];
    const { slot, reuse } = this.#takeSlot(task.tag, context);
    const life = this.#life.signal;
    const signal = AbortSignal.any([callerSignal, life]);
    try {
      const cached = Math.min(reuse, task.prompt.length);
      yield { kind: "started", cached };
      yield* this.#prefill(task, cached, directive, signal);
      const tokens = this.#decode(task, { directive, answer: answerOf(directive, text, thinking), signal });
      for await (const event of tokens) {
        if (event.kind === "tokens") for (const { id } of event.tokens) context.push(id);
        yield event;
      }
    } finally {
      slot.busy = false;
      slot.usedAt = this.#clock += 1;
      // The last token was sampled, not evaluated.
      slot.tokens = life.aborted ? [] : context.slice(0, -1);
    }
  }

  async *embed(
    inputs: readonly (readonly number[])[],
    callerSignal: AbortSignal,
  ): AsyncGenerator<Float32Array, void, void> {
    this.#assertReady();
    const { dimensions = 1, everyMs = 0 } = this.#options.embedding ?? {};
    const signal = AbortSignal.any([callerSignal, this.#life.signal]);
    for (const tokens of inputs) {
      await pause(everyMs, signal);
      const weighed = Float32Array.from({ length: dimensions }, (_, at) =>
        tokens.reduce((sum, id, place) => sum + Math.sin(id * (at + 1) + place), 0),
      );
      const length = Math.hypot(...weighed);
      yield weighed.map((number) => number / length);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#end(new EngineFault("engine_died", "The engine was closed."));
  }

  async *#prefill(
    task: Task,
    cached: number,
    directive: Directive,
    signal: AbortSignal,
  ): AsyncGenerator<EngineEvent> {
    const perTokenMs = directive.prefillMsPerToken ?? 0;
    for (let at = cached; at < task.prompt.length;) {
      const upTo = Math.min(task.prompt.length, at + PREFILL_CHUNK_TOKENS);
      await pause((upTo - at) * perTokenMs, signal);
      at = upTo;
      yield { kind: "evaluated", promptTokens: at };
    }
    await pause(directive.firstMs ?? 0, signal);
  }

  async *#decode(
    task: Task,
    {
      directive,
      answer,
      signal,
    }: { directive: Directive; answer: (position: number) => number | undefined; signal: AbortSignal },
  ): AsyncGenerator<EngineEvent> {
    const from = task.delivered.length;
    const room = this.info.contextTokens - task.prompt.length - from;
    const ceiling = from + Math.max(0, Math.min(task.outputTokensMax, room));
    const mine = directive.on === undefined || directive.on === this.#options.name;
    const at = (positions: number | readonly number[] | undefined): number | undefined =>
      mine ? strikesAt(positions, from) : undefined;
    const [dieAt, hangAt, killAt] = [at(directive.dieAt), at(directive.hangAt), at(directive.killAt)];
    const everyMs = directive.everyMs ?? 0;
    const taskName = task.name ?? (this.#lastTask += 1);
    const startedAt = performance.now();
    for (let position = from; position < ceiling; position++) {
      // By the clock, not from token to token: a late timer must not make the whole answer late.
      const waitMs = startedAt + (position - from + 1) * everyMs - performance.now();
      const burstOver = (position - from) % BURST_TOKENS === BURST_TOKENS - 1;
      if (waitMs > 0 || burstOver) await pause(waitMs, signal);
      if (position === killAt && this.#options.mayKillProcess === true) process.kill(process.pid, "SIGKILL");
      if (position === dieAt) this.#die();
      if (position === hangAt) await pause(Number.POSITIVE_INFINITY, signal);
      signal.throwIfAborted();
      // Behind its end, a resumed answer ends again.
      const id = answer(position) ?? MARK.end;
      this.#record(taskName, position, id);
      yield { kind: "tokens", tokens: [certain(decodeToken(id), task.logprobs)] };
      signal.throwIfAborted();
      if (id === MARK.end) {
        yield { kind: "end", why: "stop" };
        return;
      }
    }
    yield { kind: "end", why: "length" };
  }

  #scriptFor(text: string): Directive {
    const { script } = this.#options;
    return (typeof script === "function" ? script(text) : script) ?? {};
  }

  #takeSlot(tag: string, tokens: readonly number[]): { slot: Slot; reuse: number } {
    const choice = chooseSlot(this.#slots, tag, tokens);
    const slot = choice === undefined ? undefined : this.#slots[choice.slot];
    if (choice === undefined || slot === undefined)
      throw new EngineFault("unsupported", "Every slot is busy.");
    slot.busy = true;
    slot.tag = tag;
    return { slot, reuse: choice.reuse };
  }

  #record(task: string | number, position: number, id: number): void {
    if (this.#positions === undefined) return;
    writeSync(
      this.#positions,
      `${JSON.stringify({ engine: this.#options.name ?? "", task, position, id })}\n`,
    );
  }

  wakeMs(): number | undefined {
    return this.ready ? undefined : (this.#options.restartMs ?? DEFAULTS.restartMs);
  }

  #die(): void {
    this.#end(new EngineFault("engine_died", "The script said so."));
    setTimeout(() => {
      if (this.#closed) return;
      this.#life = new AbortController();
      this.ready = true;
    }, this.#options.restartMs ?? DEFAULTS.restartMs);
  }

  #end(fault: EngineFault): void {
    this.ready = false;
    this.#life.abort(fault);
    for (const slot of this.#slots) slot.tokens = [];
  }

  #assertReady(): void {
    if (!this.ready) throw new EngineFault("engine_died", "The engine is starting.");
  }
}

/** There is never another choice: its probability is 1. */
function certain(token: Token, logprobs: number | undefined): Token {
  if (logprobs === undefined) return token;
  return { ...token, logprobs: { own: 0, top: logprobs === 0 ? [] : [[token, 0]] } };
}

/** At least a turn of the event loop; throws the signal's own reason at once when it is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = ms > 0 && ms < Number.POSITIVE_INFINITY ? setTimeout(done, ms) : undefined;
    signal.addEventListener("abort", done, { once: true });
    if (ms <= 0) setImmediate(done);
  });
  signal.throwIfAborted();
}
