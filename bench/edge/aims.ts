/** What was aimed at, and whether it was met. An aim that is missed is printed as missed. Pure. */

export type Aim = {
  readonly ratio: string;
  readonly says: string;
  readonly met: (value: number) => boolean;
};

export const AIMS: readonly Aim[] = [
  { ratio: "jsonC16OverPortkey", says: "JSON requests/s at c16, of Portkey's: >= 0.8", met: (x) => x >= 0.8 },
  { ratio: "jsonC16OverBare", says: "JSON requests/s at c16, of bare: >= 0.25", met: (x) => x >= 0.25 },
  { ratio: "streamsC16OverPortkey", says: "streams/s at c16, of Portkey's: >= 1.0", met: (x) => x >= 1 },
  { ratio: "streamsC16OverBare", says: "streams/s at c16, of bare: >= 0.8", met: (x) => x >= 0.8 },
  { ratio: "jsonC1AddedP50Ms", says: "added to a JSON answer's p50 at c1, ms: <= 2", met: (x) => x <= 2 },
  {
    ratio: "firstEventC1AddedOverPortkey",
    says: "added to the first event at c1, of Portkey's: <= 0.2",
    met: (x) => x <= 0.2,
  },
  { ratio: "gapP99C1OverDirectMs", says: "gap p99 at c1 beyond direct, ms: <= 5", met: (x) => x <= 5 },
  {
    ratio: "hitC1AddedOverRefused",
    says: "added p50 of a hit at c1, of a refusal's: <= 2",
    met: (x) => x <= 2,
  },
  {
    ratio: "hitC16AddedOverRefused",
    says: "added p50 of a hit at c16, of a refusal's: <= 2",
    met: (x) => x <= 2,
  },
];
