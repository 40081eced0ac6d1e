/**
 * Cloudflare's list prices beyond what a paid plan includes, in dollars per million units. Read on AS_OF from the pricing
 * pages of Workers, Durable Objects, D1, KV and Queues at developers.cloudflare.com. Pure: data.
 */
export const AS_OF = "2026-11";

export const USD_PER_MILLION = {
  workerRequests: 0.3,
  /** Milliseconds of CPU. */
  workerCpuMs: 0.02,
  objectRequests: 0.15,
  /** Gigabyte-seconds in which an object runs, or cannot hibernate; an object is billed as 128 MB. */
  objectGbS: 12.5,
  objectRowsRead: 0.001,
  /** Deletes are writes, and setting an alarm is one. */
  objectRowsWritten: 1,
  d1RowsRead: 0.001,
  d1RowsWritten: 1,
  kvReads: 0.5,
  kvWrites: 5,
  /** Each 64 KB written, read or deleted: three for a message. */
  queueOperations: 0.4,
} as const;

export type Unit = keyof typeof USD_PER_MILLION;
export const OBJECT_GB = 0.128;
