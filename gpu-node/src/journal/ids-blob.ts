/** Token ids as they lie in the journal: one little-endian 32-bit number each. Pure. */

const BYTES_PER_ID = 4;

export function packIds(ids: readonly number[]): Uint8Array {
  const blob = new Uint8Array(ids.length * BYTES_PER_ID);
  const view = new DataView(blob.buffer);
  for (const [at, id] of ids.entries()) view.setUint32(at * BYTES_PER_ID, id, true);
  return blob;
}

export function unpackIds(blob: Uint8Array): number[] {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const ids: number[] = [];
  for (let at = 0; at + BYTES_PER_ID <= blob.byteLength; at += BYTES_PER_ID)
    ids.push(view.getUint32(at, true));
  return ids;
}
