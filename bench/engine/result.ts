/** What a run of this bench says, and what was promised of it. Pure. */

export type Beside = { readonly sluice: number; readonly peer: number; readonly ratio: number };

export type ModelResult = {
  /** Tokens per second over all streams together, by how many there are. */
  readonly decode: { readonly "1": Beside; readonly "8": Beside; readonly "32": Beside };
  /** Prompt tokens per second until the first token of the answer. */
  readonly prefill: Beside;
  readonly ttftMs: {
    readonly cold: number;
    readonly warm: number;
    readonly peerCold: number;
    readonly peerWarm: number;
    /** Of a short request that comes while a long prompt is evaluated. */
    readonly duringPrefill: number;
    readonly peerDuringPrefill: number;
  };
  readonly abortFreeMs: number;
  /** Of the node's own event loop, during 32 streams. */
  readonly loopP99Ms: number;
};

export type EngineResult = {
  readonly mid: ModelResult;
  readonly tiny: ModelResult;
  readonly machine: Readonly<Record<string, string | number>>;
};

export type Aim = { readonly says: string; readonly value: number; readonly met: boolean };

const atLeast = (says: string, value: number, least: number): Aim => ({
  says: `${says}: >= ${least}`,
  value,
  met: value >= least,
});
const atMost = (says: string, value: number, most: number): Aim => ({
  says: `${says}: <= ${most}`,
  value,
  met: value <= most,
});

export function aimsOf({ mid, tiny }: EngineResult): readonly Aim[] {
  return [
    atLeast("mid, decode at 1, of the peer's", mid.decode["1"].ratio, 1),
    atLeast("mid, decode at 8, of the peer's", mid.decode["8"].ratio, 1),
    atLeast("mid, decode at 32, of the peer's", mid.decode["32"].ratio, 1),
    atLeast("mid, prefill, of the peer's", mid.prefill.ratio, 0.95),
    atMost("mid, warm prefix, of the cold time", mid.ttftMs.warm / mid.ttftMs.cold, 0.15),
    atMost("mid, warm prefix, of the peer's", mid.ttftMs.warm / mid.ttftMs.peerWarm, 1),
    atMost("mid, first token during a long prefill, ms", mid.ttftMs.duringPrefill, 600),
    atMost("mid, slot free after an abort, ms", mid.abortFreeMs, 5),
    atMost("mid, event loop p99 at 32 streams, ms", mid.loopP99Ms, 10),
    atLeast("tiny, decode at 8, of the peer's", tiny.decode["8"].ratio, 1),
    atLeast("tiny, decode at 32, of the peer's", tiny.decode["32"].ratio, 1),
  ];
}
