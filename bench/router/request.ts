/** What a simulated request is: lengths in tokens, and its prompt as the ids of its complete 512-token blocks. */
export const BLOCK_TOKENS = 512;

export type SimRequest = {
  readonly atMs: number;
  readonly input: number;
  readonly output: number;
  /** Chained: one equal id means that everything before it is equal. */
  readonly blocks: readonly number[];
  /** What an edge takes for the same conversation: where the first question ends. */
  readonly opening: number;
  /** In [0, 1): where in the world its client is. The same for all turns of a conversation. */
  readonly place: number;
};

export type Workload = {
  readonly name: string;
  /** False where no two requests share anything: there a router has only load to go by. */
  readonly reuse: boolean;
  /** Ascending by time; times are for one request a second on average and are scaled to the load. */
  readonly requests: readonly SimRequest[];
};
