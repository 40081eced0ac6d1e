/** Bytes and their base64url: what every runtime has to agree on, because one writes what another reads. */
export const BASE64_URL_CASES: readonly (readonly [bytes: readonly number[], text: string])[] = [
  [[], ""],
  [[102], "Zg"],
  [[102, 111], "Zm8"],
  [[102, 111, 111], "Zm9v"],
  [[0, 0, 0], "AAAA"],
  [[255, 255, 255], "____"],
  [[251, 239, 190], "----"],
  [[251, 255], "-_8"],
];

/** With padding, of the other alphabet, with space, or of a length that no bytes have. */
export const NO_BASE64_URL: readonly string[] = ["Zg==", "+/+/", "Zm 9v", "Zm9v\n", "A", "AAAAA", "\u00e4"];
