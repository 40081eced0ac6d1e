/** What a scene of chaos is given, and what it ends with. */

export type Settings = {
  readonly seed: number;
  /** Left out: as many as the scene wants. */
  readonly requests: number | undefined;
  /** Progress. */
  readonly say: (what: string) => void;
  /** Leave the platform's folder, with its logs and books, where it is. */
  readonly keep?: boolean | undefined;
  /** Of a scene in parts, those whose names begin so. */
  readonly only?: string | undefined;
};

export type Verdict = {
  /** Nothing was found that should not be. */
  readonly ok: boolean;
  /** For machines: one object. */
  readonly json: object;
  /** For people. */
  readonly table: string;
};

export type Scene = (settings: Settings) => Promise<Verdict>;
