/**
 * Everything this node counts about its work, for Prometheus, which people read. Owned by one process, forgotten with it;
 * nothing here is money.
 */
import type { Ending } from "@sluice/protocol/receipt";
import { Histogram, printMetric } from "./histogram.ts";
import type { LoopQuantiles } from "./loop-delay.ts";

const TTFT_BOUNDS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const GAP_BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28];

/** What others know and Prometheus asks for. */
export type Gauges = {
  readonly models: readonly {
    readonly model: string;
    readonly queued: number;
    readonly slotsBusy: number;
    readonly slots: number;
  }[];
  readonly journalBytes: number;
  readonly receiptsUnacknowledged: number;
  readonly loop: LoopQuantiles;
  /** An engine that is a server of its own does not say how loaded it is. */
  readonly engineLoadFailing: boolean;
};

export class Measures {
  readonly #firstToken = new Histogram(TTFT_BOUNDS_S);
  readonly #gap = new Histogram(GAP_BOUNDS_S);
  readonly #ended = new Map<Ending, number>();
  readonly #refused = new Map<string, number>();
  readonly #probed = new Map<string, number>();
  #promptTokens = 0;
  #cachedTokens = 0;
  #outputTokens = 0;

  noteEnd(ended: Ending): void {
    this.#ended.set(ended, (this.#ended.get(ended) ?? 0) + 1);
  }

  noteRefusal(kind: string): void {
    this.#refused.set(kind, (this.#refused.get(kind) ?? 0) + 1);
  }

  noteProbe(result: string): void {
    this.#probed.set(result, (this.#probed.get(result) ?? 0) + 1);
  }

  notePrompt(tokens: number, cached: number): void {
    this.#promptTokens += tokens;
    this.#cachedTokens += cached;
  }

  noteFirstToken(sinceArrivalMs: number): void {
    this.#firstToken.note(sinceArrivalMs / 1_000);
  }

  /** A decode step that made `tokens`, `gapMs` after the one before. */
  noteTokens(tokens: number, gapMs: number | undefined): void {
    this.#outputTokens += tokens;
    if (gapMs === undefined) return;
    for (let i = 0; i < tokens; i++) this.#gap.note(gapMs / tokens / 1_000);
  }

  print(gauges: Gauges): string {
    const perModel = (of: (model: Gauges["models"][number]) => number) =>
      gauges.models.map((one) => ({ labels: `model="${escaped(one.model)}"`, value: of(one) }));
    const labelled = (label: string, counts: ReadonlyMap<string, number>) =>
      [...counts].map(([name, value]) => ({ labels: `${label}="${name}"`, value }));
    return [
      printMetric(
        "counter",
        "sluice_node_attempts_total",
        "Attempts by how they ended.",
        labelled("ended", this.#ended),
      ),
      printMetric(
        "counter",
        "sluice_node_refusals_total",
        "Calls refused before they began.",
        labelled("kind", this.#refused),
      ),
      printMetric(
        "counter",
        "sluice_node_probes_total",
        "Tokens made to show that the engine works.",
        labelled("result", this.#probed),
      ),
      printMetric("counter", "sluice_node_prompt_tokens_total", "Prompt tokens, cached ones included.", [
        { value: this.#promptTokens },
      ]),
      printMetric("counter", "sluice_node_cached_tokens_total", "Prompt tokens that needed no evaluation.", [
        { value: this.#cachedTokens },
      ]),
      printMetric("counter", "sluice_node_output_tokens_total", "Tokens sampled.", [
        { value: this.#outputTokens },
      ]),
      printMetric(
        "gauge",
        "sluice_node_queued",
        "Attempts waiting for a slot.",
        perModel(({ queued }) => queued),
      ),
      printMetric(
        "gauge",
        "sluice_node_slots",
        "Slots of the engine.",
        perModel(({ slots }) => slots),
      ),
      printMetric(
        "gauge",
        "sluice_node_slots_busy",
        "Slots in use.",
        perModel(({ slotsBusy }) => slotsBusy),
      ),
      printMetric("gauge", "sluice_node_journal_bytes", "Size of the journal.", [
        { value: gauges.journalBytes },
      ]),
      printMetric("gauge", "sluice_node_receipts_unacknowledged", "Receipts no edge has acknowledged yet.", [
        { value: gauges.receiptsUnacknowledged },
      ]),
      printMetric(
        "gauge",
        "sluice_node_engine_load_unknown",
        "1: the fronted server does not say how loaded it is.",
        [{ value: gauges.engineLoadFailing ? 1 : 0 }],
      ),
      printMetric(
        "gauge",
        "sluice_node_loop_delay_seconds",
        "How late the event loop is, of the last seconds.",
        [
          { labels: `quantile="0.5"`, value: gauges.loop.p50S },
          { labels: `quantile="0.99"`, value: gauges.loop.p99S },
        ],
      ),
      this.#firstToken.print("sluice_node_first_token_seconds", "From a call's arrival to its first token."),
      this.#gap.print("sluice_node_token_gap_seconds", "Between tokens of one answer."),
    ].join("");
  }
}

function escaped(label: string): string {
  return label.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}
