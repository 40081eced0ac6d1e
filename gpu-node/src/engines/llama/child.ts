/**
 * The engine's process: llama.cpp lives here alone, because it aborts where others throw. Forked by supervisor.ts; the
 * first message says what to load, the answer is `ready` or `bad`. Ends itself when the parent is gone (the channel
 * closes) and at the first error it does not understand: a fresh process is the only state known to be good.
 */
import { openingOf } from "../../grammar/tools.ts";
import { readGgufFile } from "../../weights/gguf-header.ts";
import type { ToolMarks } from "../engine.ts";
import { embeddingProblem } from "./embedder.ts";
import { encodeSegments } from "./encode.ts";
import { type Loaded, load } from "./load.ts";
import { type EncodeMessage, type FromChild, type RunMessage, ToChild } from "./messages.ts";
import { NoMemory } from "./memory.ts";
import { natives } from "./native.ts";
import { Outbox } from "./outbox.ts";
import { TILE_TOKENS } from "./passes.ts";
import { pickTemplate } from "./pick-template.ts";
import { LlamaRun, type Slot } from "./run.ts";
import { content, spellingsPattern } from "./segments.ts";
import { SlotTable } from "./slot-table.ts";
import type { Template } from "./template.ts";
import { StepLoop } from "./step-loop.ts";
import { toolMarks } from "./tool-template.ts";
import { type Vocabulary, readVocabulary } from "./vocabulary.ts";

const EXIT_FATAL = 70;
/** llama.cpp's first complaint while loading is the cause; those behind it say that its callers failed too. */
const COMPLAINTS_MAX = 1;

type Engine = {
  run(task: RunMessage): void;
  stop(task: number): void;
  encode(message: EncodeMessage): Promise<void>;
  embed(ask: number, tokens: readonly number[]): Promise<void>;
  stopEmbedding(ask: number): void;
};

let engine: Engine | undefined;
const complaints: string[] = [];

process.on("disconnect", () => process.exit(0));
process.on("uncaughtException", fatal);
process.on("unhandledRejection", fatal);
// Ctrl-C and a service manager's stop reach the whole group; the parent finishes its answers first and then closes
// the channel.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

process.on("message", (raw) => {
  const message = ToChild.parse(raw);
  switch (message.kind) {
    case "load":
      start(message).catch((error: unknown) => {
        const noMemory = error instanceof NoMemory;
        // The error says only that loading failed; why, llama.cpp has told its log.
        const reason = noMemory ? error.message : [reasonOf(error), ...complaints].join("; ");
        send({ kind: "bad", reason, noMemory });
        // Ends when the message is out: what is left open is only the channel.
        process.disconnect();
      });
      break;
    case "run":
      engine?.run(message);
      break;
    case "stop":
      engine?.stop(message.task);
      break;
    case "encode":
      engine?.encode(message).catch(fatal);
      break;
    case "embed":
      engine?.embed(message.ask, message.tokens).catch(fatal);
      break;
    case "stop_embedding":
      engine?.stopEmbedding(message.ask);
      break;
  }
});

async function start(message: Extract<ToChild, { kind: "load" }>): Promise<void> {
  const header = readGgufFile(message.weightsPath);
  const problem = message.embeddings ? embeddingProblem(header) : undefined;
  if (problem !== undefined) throw new Error(problem);
  const loaded = await load(message, (line) => {
    send({ kind: "log", line });
    if (engine === undefined && !line.startsWith("info") && complaints.length < COMPLAINTS_MAX)
      complaints.push(line);
  });
  const { model } = loaded;
  const endTokens: number[] = [];
  const controlTokens: number[] = [];
  for (const id of model.iterateAllTokens()) {
    if (model.isEogToken(id)) endTokens.push(id);
    if (model.getTokenAttributes(id).control) controlTokens.push(id);
  }
  const vocabulary = readVocabulary(header, [...endTokens, ...controlTokens]);
  const pieces = piecesOf(loaded, vocabulary);
  const picked = pickTemplate(vocabulary);
  engine = createEngine(loaded, vocabulary, {
    slots: message.slots,
    endTokens: new Set(endTokens),
    template: picked.template,
    marks: picked.tools === undefined ? undefined : toolMarks(picked.tools, vocabulary.spellings),
  });
  const { backend, contextTokens, embedder } = loaded;
  send({
    kind: "ready",
    backend,
    contextTokens,
    endTokens,
    controlTokens,
    ...(embedder === undefined ? {} : { embeddingDimensions: embedder.dimensions }),
    ...(picked.tools === undefined ? {} : { tools: picked.tools }),
    ...(pieces === undefined ? {} : { pieces }),
  });
}

function createEngine(
  { model, context, batch, contextTokens, chunk, embedder }: Loaded,
  vocabulary: Vocabulary,
  limits: {
    slots: number;
    endTokens: ReadonlySet<number>;
    template: Template;
    marks: ToolMarks | undefined;
  },
): Engine {
  const outbox = new Outbox({
    send: (events) => send({ kind: "events", events: [...events] }),
    nowMs: () => performance.now(),
    later: (act, ms) => (ms > 0 ? setTimeout(act, ms) : setImmediate(act)),
  });
  const runs = new Map<number, LlamaRun>();
  const native = natives(model, context);
  const loop = new StepLoop((alone) => (alone ? chunk.tokensAlone : chunk.tokens), TILE_TOKENS, {
    evaluate: (works) => batch.evaluate(works),
    afterTurn: () => outbox.plan(),
    fatal,
  });
  const slots: Slot[] = Array.from({ length: limits.slots }, (_, sequence) => ({
    sequence,
    busy: false,
    tag: "",
    tokens: [],
    usedAt: 0,
  }));
  const table = new SlotTable(slots, (task, grant) => {
    const run = new LlamaRun(task, grant, {
      batch,
      contextTokens,
      natives: native,
      words: {
        endTokens: limits.endTokens,
        thinkClose: vocabulary.think?.close,
        sectionOpen: limits.marks === undefined ? undefined : openingOf(limits.marks).token,
        special: vocabulary.special,
      },
      report: (event) => outbox.put(event),
      release: (freed) => {
        runs.delete(task.task);
        table.release(freed);
      },
    });
    runs.set(task.task, run);
    loop.add(run);
  });
  const encoder = {
    tokenize: (text: string, special: boolean) =>
      vocabulary.byteLevel
        ? model.tokenize(text, special)
        : model.tokenize(text, special, "trimLeadingSpace"),
    special: vocabulary.special,
    spellings: spellingsPattern(vocabulary.spellings.keys()),
    bos: vocabulary.addBos ? vocabulary.bos : undefined,
  };
  const isGrammar = ({ grammar }: RunMessage): boolean => {
    try {
      if (grammar !== undefined) native.newGrammar(grammar.gbnf);
      return true;
    } catch {
      return false;
    }
  };
  const refuse = (task: number, reason: string): void => {
    outbox.put({ kind: "refused", task, reason });
    outbox.flush();
  };
  return {
    run: (task) => {
      if (task.prompt.length === 0) refuse(task.task, "The prompt has no tokens.");
      else if (task.prompt.length >= contextTokens) {
        refuse(task.task, `The prompt has ${task.prompt.length} tokens; the context holds ${contextTokens}.`);
      } else if (![...task.prompt, ...task.delivered].every((id) => id < vocabulary.size)) {
        refuse(task.task, `A token id is outside the vocabulary of ${vocabulary.size}.`);
      } else if (!isGrammar(task)) refuse(task.task, "The grammar cannot be read.");
      else if (!table.ask(task)) refuse(task.task, "Too many tasks wait for a slot.");
    },
    stop: (task) => {
      table.forget(task);
      const run = runs.get(task);
      if (run !== undefined) run.stopped = true;
    },
    embed: async (ask, tokens) => {
      const vector = await embedder?.embed(ask, tokens);
      const bytes = vector && Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
      send({ kind: "embedded", ask, vector: bytes?.toString("base64") ?? null });
    },
    stopEmbedding: (ask) => embedder?.stop(ask),
    encode: async ({ ask, what, tokensMax }) => {
      try {
        const segments = "text" in what ? [content(what.text)] : limits.template(what);
        send({ kind: "encoded", ask, tokens: await encodeSegments(segments, encoder, tokensMax) });
      } catch (error) {
        send({ kind: "unencodable", ask, reason: reasonOf(error) });
      }
    },
  };
}

/** Token bytes from the tokenizer itself, for vocabularies whose file does not tell them. */
function piecesOf({ model }: Loaded, vocabulary: Vocabulary): string[] | undefined {
  if (vocabulary.bytesOf(firstOrdinary(vocabulary)) !== undefined) return undefined;
  const pieces: string[] = [];
  for (const id of model.iterateAllTokens()) {
    pieces.push(
      vocabulary.special.has(id) ? "" : Buffer.from(model.detokenize([id], false), "utf8").toString("base64"),
    );
  }
  return pieces;
}

function firstOrdinary(vocabulary: Vocabulary): number {
  for (let id = 0; id < vocabulary.size; id++) if (!vocabulary.special.has(id)) return id;
  return 0;
}

function send(message: FromChild): void {
  if (process.connected) process.send?.(message);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function fatal(error: unknown): void {
  process.stderr.write(
    `engine: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(EXIT_FATAL);
}
